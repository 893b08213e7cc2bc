// Calls every function of a plain client once, with a value for each parameter that any of them takes.
const names = `actionId agentId aiActionId apiKeyId appActionId appBundleId appDefinitionId appInstallationId appUploadId
  assetId automationDefinitionId automationExecutionId bulkActionId callId commentId componentId componentTypeId conceptId
  conceptSchemeId contentTypeId dataAssemblyId designTokenId entryId environmentAliasId environmentId environmentTemplateId
  experienceFragmentId experienceId experienceTemplateId extensionId fragmentId functionId indexId invitationId invocationId
  localeId logId metricKey oauthApplicationId organizationId organizationMembershipId parentEntityId previewApiKeyId
  resourceTypeId roleId runId scheduledActionId snapshotId sourceEnvironmentId spaceId spaceMemberId spaceMembershipId tagId
  taskId teamId teamMembershipId teamSpaceMembershipId templateId tokenId uploadId userId variantId webhookDefinitionId
  workflowDefinitionId workflowId`.split(/\s+/);
const common = Object.fromEntries(names.map((name) => [name, `${name.replace(/Id$/, "")}-1`]));
Object.assign(common, { version: 3, query: {}, parentEntityType: "Entry", parentEntityVersion: 1, retries: 1, retryInterval: 1 });
const link = (id) => ({ sys: { type: "Link", linkType: "Entry", id } });
const data = () => ({
  sys: { id: "data-1", type: "Thing", version: 3, urn: "urn", space: link("space-1"), environment: link("environment-1"), team: link("t"), user: link("u") },
  name: "x", fields: { title: { en: "x" }, file: { en: { contentType: "x", fileName: "x", upload: "https://x.test/x" } } }, items: [],
  entities: { items: [] }, entity: link("e"), environment: link("environment-1"), metadata: {}, parameters: {}, permissions: {}, policies: [],
  roles: [], admin: false, email: "a@b.test", body: "x", jwt: "canary-jwt", expiresAt: Math.floor(Date.now() / 1000) + 3600, file: "x", version: 3,
});
// These poll, read files, or change what they are given before they send anything.
const left = /^raw\.|createFromFiles|processFor|createWithRes|omitAndDeleteField|WithCursor|getCallDetails$/;
// With a release the same functions address what lies in it.
const outside = /^(entry|asset)\./;

export async function sweep(client, call, path = []) {
  const part = path.reduce((at, key) => at[key], client);
  for (const key of Object.keys(part)) {
    const name = [...path, key].join(".");
    if (part[key] && typeof part[key] === "object") await sweep(client, call, [...path, key]);
    else if (!left.test(name)) {
      const parameters = outside.test(name) ? { ...common } : { ...common, releaseId: "release-1" };
      await call(name, (fresh) => path.reduce((at, step) => at[step], fresh)[key](parameters, data(), { headers: {} }));
    }
  }
}
