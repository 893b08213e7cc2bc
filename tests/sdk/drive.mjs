// Calls the official SDKs through a gateway and says of each call what its record must say:
// `node drive.mjs FOLDER_OF_NODE_MODULES ORIGIN_OF_CMA CDA MICROCMS MICROCMS_MANAGEMENT`, a line of JSON a call.
// The calls are told apart by their trace id. What the SDKs send is what their users send.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { sweep } from "./sweep.mjs";

const [folder, cma, cda, microcms, microcmsManagement] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/`));
process.on("unhandledRejection", () => {}); // of calls that nobody waits for any more
let number = 0;
const within = (promise) =>
  Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error("no answer")), 10_000))]);

// `expect`: method, template, action, resource type, resource id; then what else the record says.
async function call(name, run, expect, more = {}) {
  number += 1;
  const trace = `${"ab".repeat(12)}${number.toString(16).padStart(8, "0")}`;
  let problem = "";
  try {
    await within(run(`00-${trace}-00000000000000ab-01`));
  } catch (error) {
    problem = `${error.name}: ${String(error.message).slice(0, 200)}`;
  }
  const [method, template, action, resource, id] = expect;
  const said = { "http.request.method": method, "http.route": template, "event.action": action, "resource.type": resource, "resource.id": id };
  for (const key of Object.keys(said)) if (said[key] === undefined) delete said[key];
  console.log(JSON.stringify({ trace, name, problem, said: { ...said, ...more } }));
}

const management = require("contentful-management");
const token = { ann: "CFPAT-canary-ann", app: "canary-app" };
const plain = (traceparent, accessToken = token.ann) =>
  management.createClient(
    { accessToken, host: new URL(cma).host, hostUpload: new URL(cma).host, insecure: true, retryOnError: false, headers: { traceparent } },
    { type: "plain", defaults: { spaceId: "space1", environmentId: "master", organizationId: "org1" } },
  );
const ann = { "actor.type": "user", "actor.id": "u-ann", "actor.name": "Ann Lee", "actor.provenance": "verified", "origin.type": "script", "contentful.cache.status": "" };
const manage = (name, run, expect, more = {}) => call(name, (trace) => run(plain(trace)), expect, { ...ann, ...more });

const env = "/spaces/:space/environments/:environment";
const org = "/organizations/:organization";
const sys = (id, type, version = 3) => ({ sys: { id, type, version }, fields: {}, name: "x" });
const link = (linkType, id) => ({ sys: { type: "Link", linkType, id, version: 1 } });
const bulk = { entities: { sys: { type: "Array" }, items: [link("Entry", "b1"), link("Asset", "b2")] } };
const bulkResources = '[{"id":"b1","type":"Entry"},{"id":"b2","type":"Asset"}]';

// Who it is, and whose keys are whose.
await manage("user.getCurrent", (c) => c.user.getCurrent(), ["GET", "/users/me", "read", "User"]);
await manage("apiKey.get", (c) => c.apiKey.get({ apiKeyId: "k1" }), ["GET", "/spaces/:space/api_keys/:api_key", "read", "ApiKey", "k1"], { "event.category": "access" });
// Content.
await manage("entry.get", (c) => c.entry.get({ entryId: "e1" }), ["GET", `${env}/entries/:entry`, "read", "Entry", "e1"]);
await manage("entry.getMany", (c) => c.entry.getMany({ query: { content_type: "post" } }), ["GET", `${env}/entries`, "read", "Entry", ""]);
await manage("entry.create", (c) => c.entry.create({ contentTypeId: "post" }, { fields: {} }), ["POST", `${env}/entries`, "create", "Entry", /^made/.source], { "contentful.space.id": "space1", "contentful.environment.id": "master" });
await manage("entry.createWithId", (c) => c.entry.createWithId({ contentTypeId: "post", entryId: "e2" }, { fields: {} }), ["PUT", `${env}/entries/:entry`, "create", "Entry", "e2"]);
await manage("entry.update", (c) => c.entry.update({ entryId: "e3" }, sys("e3", "Entry")), ["PUT", `${env}/entries/:entry`, "update", "Entry", "e3"]);
await manage("entry.patch", (c) => c.entry.patch({ entryId: "e4", version: 2 }, [{ op: "add", path: "/fields/x", value: {} }]), ["PATCH", `${env}/entries/:entry`, "update", "Entry", "e4"]);
await manage("entry.publish", (c) => c.entry.publish({ entryId: "e5" }, sys("e5", "Entry")), ["PUT", `${env}/entries/:entry/published`, "publish", "Entry", "e5"]);
await manage("entry.publish of locales", (c) => c.entry.publish({ entryId: "e6", locales: ["en"] }, sys("e6", "Entry")), ["PUT", `${env}/entries/:entry/published`, "publish", "Entry", "e6"]);
await manage("entry.unpublish", (c) => c.entry.unpublish({ entryId: "e7" }), ["DELETE", `${env}/entries/:entry/published`, "unpublish", "Entry", "e7"]);
await manage("entry.unpublish of locales", (c) => c.entry.unpublish({ entryId: "e8", locales: ["en"] }, sys("e8", "Entry")), ["PUT", `${env}/entries/:entry/published`, "unpublish", "Entry", "e8"]);
await manage("entry.archive", (c) => c.entry.archive({ entryId: "e9" }), ["PUT", `${env}/entries/:entry/archived`, "archive", "Entry", "e9"]);
await manage("entry.unarchive", (c) => c.entry.unarchive({ entryId: "e10" }), ["DELETE", `${env}/entries/:entry/archived`, "unarchive", "Entry", "e10"]);
await manage("entry.delete", (c) => c.entry.delete({ entryId: "e11" }), ["DELETE", `${env}/entries/:entry`, "delete", "Entry", "e11"], { "http.response.status_code": 204 });
await manage("entry.references", (c) => c.entry.references({ entryId: "e12", include: 2 }), ["GET", `${env}/entries/:entry/references`, "read", "Entry", "e12"]);
await manage("asset.create", (c) => c.asset.create({}, { fields: {} }), ["POST", `${env}/assets`, "create", "Asset", "^made"]);
await manage("asset.publish", (c) => c.asset.publish({ assetId: "a1" }, sys("a1", "Asset")), ["PUT", `${env}/assets/:asset/published`, "publish", "Asset", "a1"]);
await manage("asset.delete", (c) => c.asset.delete({ assetId: "a2" }), ["DELETE", `${env}/assets/:asset`, "delete", "Asset", "a2"]);
await manage("upload.create", (c) => c.upload.create({}, { file: "bytes" }), ["POST", `${env}/uploads`, "create", "Upload", "^made"]);
await manage("contentType.update", (c) => c.contentType.update({ contentTypeId: "ct1" }, sys("ct1", "ContentType")), ["PUT", `${env}/content_types/:content_type`, "update", "ContentType", "ct1"], { "event.category": "configuration" });
await manage("contentType.publish", (c) => c.contentType.publish({ contentTypeId: "ct2" }, sys("ct2", "ContentType")), ["PUT", `${env}/content_types/:content_type/published`, "publish", "ContentType", "ct2"]);
await manage("editorInterface.update", (c) => c.editorInterface.update({ contentTypeId: "ct3" }, { ...sys("default", "EditorInterface"), controls: [] }), ["PUT", `${env}/content_types/:content_type/editor_interface`, "update", "EditorInterface", "ct3"]);
await manage("locale.create", (c) => c.locale.create({}, { code: "de", name: "German" }), ["POST", `${env}/locales`, "create", "Locale", "^made"]);
await manage("tag.createWithId", (c) => c.tag.createWithId({ tagId: "t1" }, { name: "t", sys: { visibility: "public" } }), ["PUT", `${env}/tags/:tag`, "create", "Tag", "t1"]);
await manage("snapshot.getForEntry", (c) => c.snapshot.getForEntry({ entryId: "e1", snapshotId: "s1" }), ["GET", `${env}/entries/:entry/snapshots/:snapshot`, "read", "Snapshot", "s1"]);
await manage("comment.create", (c) => c.comment.create({ entryId: "e1" }, { body: "x" }), ["POST", `${env}/entries/:entry/comments`, "create", "Comment", "^made"]);
await manage("task.create", (c) => c.task.create({ entryId: "e1" }, { body: "x", status: "active" }), ["POST", `${env}/entries/:entry/tasks`, "create", "Task", "^made"]);
await manage("workflow.complete", (c) => c.workflow.complete({ workflowId: "w1", version: 1 }), ["PUT", `${env}/workflows/:workflow/complete`, "complete", "Workflow", "w1"]);
// Many at once.
await manage("bulkAction.publish", (c) => c.bulkAction.publish({}, bulk), ["POST", `${env}/bulk_actions/publish`, "publish", "BulkAction", "^made"], { resources: bulkResources, "event.category": "bulk" });
await manage("bulkAction.unpublish", (c) => c.bulkAction.unpublish({}, bulk), ["POST", `${env}/bulk_actions/unpublish`, "unpublish", "BulkAction", "^made"], { resources: bulkResources });
await manage("bulkAction.validate", (c) => c.bulkAction.validate({}, { action: "publish", ...bulk }), ["POST", `${env}/bulk_actions/validate`, "validate", "BulkAction", "^made"], { resources: bulkResources });
for (const action of ["publish", "unpublish", "validate"]) {
  const entities = [{ entity: link("Entry", "v2") }];
  await manage(`bulkAction.${action}V2`, (c) => c.bulkAction[`${action}V2`]({}, { action, entities }), ["POST", `${env}/bulk_actions`, action, "BulkAction", "^made"], { resources: '[{"id":"v2","type":"Entry"}]' });
}
await manage("release.create", (c) => c.release.create({}, { title: "r", ...bulk }), ["POST", `${env}/releases`, "create", "Release", "^made"], { resources: bulkResources });
await manage("release.update", (c) => c.release.update({ releaseId: "r1", version: 1 }, { title: "r", ...bulk }), ["PUT", `${env}/releases/:release`, "update", "Release", "r1"], { resources: bulkResources });
await manage("release.publish", (c) => c.release.publish({ releaseId: "r1", version: 2 }), ["PUT", `${env}/releases/:release/published`, "publish", "Release", "r1"], { resources: bulkResources });
await manage("release.unpublish", (c) => c.release.unpublish({ releaseId: "r1", version: 2 }), ["DELETE", `${env}/releases/:release/published`, "unpublish", "Release", "r1"], { resources: bulkResources });
const scheduled = { entity: link("Entry", "s1"), environment: { sys: { type: "Link", linkType: "Environment", id: "master" } }, scheduledFor: { datetime: "2030-01-01T00:00:00.000Z" }, action: "publish" };
await manage("scheduledActions.create", (c) => c.scheduledActions.create({}, scheduled), ["POST", "/spaces/:space/scheduled_actions", "create", "ScheduledAction", "^made"], { resources: '[{"id":"s1","type":"Entry"}]' });
await manage("scheduledActions.delete", (c) => c.scheduledActions.delete({ scheduledActionId: "sa1" }), ["DELETE", "/spaces/:space/scheduled_actions/:scheduled_action", "delete", "ScheduledAction", "sa1"]);
// AI.
const invocation = { outputFormat: "PlainText", variables: [{ id: "v", value: link("Entry", "ai1") }] };
await manage("aiAction.invoke", (c) => c.aiAction.invoke({ aiActionId: "ai" }, invocation), ["POST", `${env}/ai/actions/:ai_action/invoke`, "invoke", "AiAction", "ai"], { "origin.type": "ai_action", "resources": "^AiActionInvocation" });
await manage("aiAction.update", (c) => c.aiAction.update({ aiActionId: "ai" }, sys("ai", "AiAction")), ["PUT", "/spaces/:space/ai/actions/:ai_action", "update", "AiAction", "ai"]);
await manage("agent.generate", (c) => c.agent.generate({ agentId: "g1" }, { messages: [] }), ["POST", `${env}/ai/agents/:agent/generate`, "invoke", "Agent", "g1"], { "origin.type": "ai_action" });
await manage("semanticSearch.get", (c) => c.semanticSearch.get({}, { query: "x" }), ["POST", `${env}/semantic/search`, "search", "SemanticSearch"], { "origin.type": "ai_action" });
// Rights and set-up.
await manage("role.create", (c) => c.role.create({}, { name: "r", permissions: {}, policies: [] }), ["POST", "/spaces/:space/roles", "create", "Role", "^made"], { "event.category": "access" });
await manage("spaceMembership.delete", (c) => c.spaceMembership.delete({ spaceMembershipId: "m1" }), ["DELETE", "/spaces/:space/space_memberships/:space_membership", "delete", "SpaceMembership", "m1"]);
await manage("apiKey.create", (c) => c.apiKey.create({}, { name: "key" }), ["POST", "/spaces/:space/api_keys", "create", "ApiKey", "^made"]);
await manage("apiKey.delete", (c) => c.apiKey.delete({ apiKeyId: "k2" }), ["DELETE", "/spaces/:space/api_keys/:api_key", "delete", "ApiKey", "k2"]);
await manage("webhook.create", (c) => c.webhook.create({}, { name: "w", url: "https://x.test", topics: ["*.*"] }), ["POST", "/spaces/:space/webhook_definitions", "create", "Webhook", "^made"]);
await manage("webhook.delete", (c) => c.webhook.delete({ webhookDefinitionId: "w1" }), ["DELETE", "/spaces/:space/webhook_definitions/:webhook", "delete", "Webhook", "w1"]);
await manage("extension.update", (c) => c.extension.update({ extensionId: "x1" }, { ...sys("x1", "Extension"), extension: {} }), ["PUT", `${env}/extensions/:extension`, "update", "UiExtension", "x1"]);
await manage("environment.createWithId", (c) => c.environment.createWithId({ environmentId: "dev" }, { name: "dev" }), ["PUT", "/spaces/:space/environments/:environment", "create", "Environment", "dev"]);
await manage("environment.delete", (c) => c.environment.delete({ environmentId: "old" }), ["DELETE", "/spaces/:space/environments/:environment", "delete", "Environment", "old"]);
await manage("environmentAlias.update", (c) => c.environmentAlias.update({ environmentAliasId: "master" }, { ...sys("master", "EnvironmentAlias"), environment: {} }), ["PUT", "/spaces/:space/environment_aliases/:environment_alias", "update", "EnvironmentAlias", "master"]);
await manage("space.delete", (c) => c.space.delete({ spaceId: "space9" }), ["DELETE", "/spaces/:space", "delete", "Space", "space9"], { "contentful.space.id": "space9" });
await manage("organizationInvitation.create", (c) => c.organizationInvitation.create({}, { email: "a@b.test", firstName: "A", lastName: "B", role: "member" }), ["POST", `${org}/invitations`, "create", "OrganizationInvitation", "^made"], { "contentful.organization.id": "org1" });
await manage("team.create", (c) => c.team.create({}, { name: "t", description: "" }), ["POST", `${org}/teams`, "create", "Team", "^made"]);
await manage("appInstallation.upsert", (c) => c.appInstallation.upsert({ appDefinitionId: "app1" }, { parameters: {} }), ["PUT", `${env}/app_installations/:app_definition`, "create", "AppInstallation", "app1"]);
await manage("appInstallation.delete", (c) => c.appInstallation.delete({ appDefinitionId: "app1" }), ["DELETE", `${env}/app_installations/:app_definition`, "delete", "AppInstallation", "app1"]);
await manage("personalAccessToken.create", (c) => c.personalAccessToken.create({}, { name: "t", scopes: [] }), ["POST", "/users/me/access_tokens", "create", "AccessToken", "^made"]);
await manage("accessToken.revoke", (c) => c.accessToken.revoke({ tokenId: "p1" }), ["PUT", "/users/me/access_tokens/:access_token/revoked", "revoke", "AccessToken", "p1"]);
const app = { "actor.type": "app", "actor.id": "app2", "actor.name": "", "origin.type": "app" };
await manage("appAccessToken.create", (c) => c.appAccessToken.create({ appDefinitionId: "app2" }, { jwt: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJjYW5hcnkifQ.canary" }), ["POST", `${env}/app_installations/:app_definition/access_tokens`, "create", "AppAccessToken", "^made"], { ...app, "event.category": "access" });
// The nested client of earlier versions.
await call("getSpace().getEnvironment().getEntry()", async (traceparent) => {
  const client = management.createClient({ accessToken: token.ann, host: new URL(cma).host, insecure: true, retryOnError: false, headers: { traceparent } }, { type: "legacy" });
  await client.rawRequest({ method: "GET", url: "/spaces/space1/entries/legacy1" });
}, ["GET", "/spaces/:space/entries/:entry", "read", "Entry", "legacy1"], { ...ann, "contentful.environment.id": "master" });

// Delivery: a key is no person; the management API has told its name.
const contentful = require("contentful");
const key = { "actor.type": "api_key", "actor.id": "k1", "actor.name": "Website", "origin.type": "script" };
const deliver = (name, run, expect, more = {}) =>
  call(name, (traceparent) => run(contentful.createClient({ accessToken: "canary-delivery", space: "space1", host: new URL(cda).host, insecure: true, retryOnError: false, headers: { traceparent } })), ["GET", ...expect], { ...key, "contentful.cache.status": "MISS", "event.category": "delivery", ...more });
await deliver("getEntry", (c) => c.getEntry("d1"), [`${env}/entries`, "read", "Entry", "d1"]);
await deliver("getEntry, cached", (c) => c.getEntry("hit1"), [`${env}/entries`, "read", "Entry", "hit1"], { "contentful.cache.status": "HIT" });
await deliver("getEntries", (c) => c.getEntries({ content_type: "post", limit: 5 }), [`${env}/entries`, "read", "Entry", ""]);
await deliver("getAsset", (c) => c.getAsset("hit2"), [`${env}/assets/:asset`, "read", "Asset", "hit2"], { "contentful.cache.status": "HIT" });
await deliver("getAssets", (c) => c.getAssets(), [`${env}/assets`, "read", "Asset", ""]);
await deliver("getContentType", (c) => c.getContentType("post"), [`${env}/content_types/:content_type`, "read", "ContentType", "post"]);
await deliver("getContentTypes", (c) => c.getContentTypes(), [`${env}/content_types`, "read", "ContentType", ""]);
await deliver("getSpace", (c) => c.getSpace(), ["/spaces/:space", "read", "Space", "space1"]);
await deliver("getLocales", (c) => c.getLocales(), [`${env}/locales`, "read", "Locale", ""]);
await deliver("getTag", (c) => c.getTag("t1"), [`${env}/tags/:tag`, "read", "Tag", "t1"]);
await deliver("getTags", (c) => c.getTags(), [`${env}/tags`, "read", "Tag", ""]);
await deliver("getConcept", (c) => c.getConcept("c1"), [`${env}/taxonomy/concepts/:concept`, "read", "TaxonomyConcept", "c1"]);
await deliver("getConcepts", (c) => c.getConcepts(), [`${env}/taxonomy/concepts`, "read", "TaxonomyConcept", ""]);
await deliver("getConceptScheme", (c) => c.getConceptScheme("cs1"), [`${env}/taxonomy/concept-schemes/:concept_scheme`, "read", "TaxonomyConceptScheme", "cs1"]);
await deliver("sync", (c) => c.sync({ initial: true }), [`${env}/sync`, "read", undefined]);
await call("createAssetKey", (traceparent) => contentful.createClient({ accessToken: "canary-delivery", space: "space1", host: new URL(cda).host, insecure: true, retryOnError: false, headers: { traceparent } }).createAssetKey(Math.floor(Date.now() / 1000) + 3600), ["POST", `${env}/asset_keys`, "create", "AssetKey"], key);

// microCMS: the SDK has no base URL, so its fetch is turned to the gateway; a key is whose the directory says.
const fetched = globalThis.fetch;
let traceparent = "";
globalThis.fetch = (url, options) => {
  const to = new URL(url instanceof Request ? url.url : url);
  const headers = new Headers(options?.headers);
  headers.set("traceparent", traceparent);
  const gateway = to.hostname.endsWith(".microcms-management.io") ? microcmsManagement : microcms;
  return fetched(new URL(to.pathname + to.search, gateway), { ...options, headers });
};
const { createClient, createManagementClient } = require("microcms-js-sdk");
const options = { serviceDomain: "blog", apiKey: "canary-microcms" };
const content = createClient(options);
const media = createManagementClient(options);
const blog = { "actor.type": "api_key", "actor.id": "blog-key", "actor.name": "Blog", "actor.provenance": "mapped", "microcms.cache.status": "MISS", "origin.type": "script" };
const micro = (name, run, expect, more = {}) =>
  call(name, (trace) => {
    traceparent = trace;
    return run();
  }, expect, { ...blog, ...more });
const one = "/api/v1/:endpoint/:content";
const many = "/api/v1/:endpoint";
await micro("get", () => content.get({ endpoint: "news", contentId: "m1" }), ["GET", one, "read", "Content", "m1"]);
await micro("getList", () => content.getList({ endpoint: "news", queries: { limit: 2 } }), ["GET", many, "read", "Content", ""]);
await micro("getListDetail of a draft, cached", () => content.getListDetail({ endpoint: "news", contentId: "hit1", queries: { draftKey: "canary-draft" } }), ["GET", one, "read", "Content", "hit1"], { "microcms.cache.status": "HIT", "url.query": "draftKey=REDACTED" });
await micro("getObject", () => content.getObject({ endpoint: "about" }), ["GET", many, "read", "Content", ""]);
await micro("getAllContentIds", () => content.getAllContentIds({ endpoint: "news" }), ["GET", many, "read", "Content", ""]);
await micro("create", () => content.create({ endpoint: "news", content: { title: "x" } }), ["POST", many, "create", "Content", "generated1"]);
await micro("create with id", () => content.create({ endpoint: "news", contentId: "m2", content: {} }), ["PUT", one, "create", "Content", "m2"]);
await micro("create a draft", () => content.create({ endpoint: "news", content: {}, isDraft: true }), ["POST", many, "create", "Content", "generated1"]);
await micro("update", () => content.update({ endpoint: "news", contentId: "m3", content: {} }), ["PATCH", one, "update", "Content", "m3"]);
await micro("update of an object", () => content.update({ endpoint: "about", content: {} }), ["PATCH", many, "update", "Content", ""]);
await micro("delete", () => content.delete({ endpoint: "news", contentId: "m4" }), ["DELETE", one, "delete", "Content", "m4"], { "http.response.status_code": 202 });
await micro("uploadMedia", () => media.uploadMedia({ data: new Blob(["x"], { type: "image/png" }), name: "a.png" }), ["POST", "/api/v1/media", "create", "Media", "https://images.microcms-assets.io/assets/s/made.png"]);
// The management API of which the SDK has no function, by the same fetch.
const direct = (method, path, body) => () => fetch(`https://blog.microcms-management.io${path}`, { method, headers: { "X-MICROCMS-API-KEY": "canary-microcms" }, body: body && JSON.stringify(body) });
const status = "/api/v1/contents/:endpoint/:content/status";
for (const [id, action] of [["draft", "publish"], ["both", "delete_draft"]]) {
  await micro(`content of ${id}`, direct("GET", `/api/v1/contents/news/${id}`), ["GET", "/api/v1/contents/:endpoint/:content", "read", "Content", id]);
  await micro(`status of ${id}`, direct("PATCH", `/api/v1/contents/news/${id}/status`, { status: ["PUBLISH"] }), ["PATCH", status, action, "Content", id]);
}
await micro("status of something unseen", direct("PATCH", "/api/v1/contents/news/unseen/status", { status: ["PUBLISH"] }), ["PATCH", status, "ambiguous", "Content", "unseen"], { "event.action.candidates": '["publish","delete_draft"]' });
await micro("creator", direct("PATCH", "/api/v1/contents/news/m5/createdBy", { createdBy: "x" }), ["PATCH", "/api/v1/contents/:endpoint/:content/createdBy", "update", "Content", "m5"]);
await micro("media removed", direct("DELETE", "/api/v2/media?url=https%3A%2F%2Fi.test%2Fa.png"), ["DELETE", "/api/v2/media", "delete", "Media", "https://i.test/a.png"]);

// Every function of the management SDK: each finds a route, an action and the actor.
await sweep(management.createClient({ accessToken: "x" }, { type: "plain" }), async (name, run) =>
  call(`sweep ${name}`, (trace) => run(plain(trace)), [], { "http.route": "^/", "event.action": "^[a-z_]+$", "resource.type": "^[A-Z]", "actor.id": "^(u-ann|appDefinition-1)$", "http.response.status_code": "^20[014]$" }));
process.exit(0);
