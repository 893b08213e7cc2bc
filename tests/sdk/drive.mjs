// Calls the official SDKs through a gateway: `node drive.mjs FOLDER_OF_NODE_MODULES ORIGIN_OF_CMA CDA MICROCMS`.
// What they send is what their users send; the test reads the records.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, cma, cda, microcms] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/`));
const call = async (name, promise) => {
  try {
    await promise();
    console.log(`${name} ok`);
  } catch (error) {
    console.log(`${name} ${error.name}: ${String(error.message).slice(0, 200)}`);
  }
};

const management = require("contentful-management");
const client = management.createClient(
  { accessToken: "CFPAT-canary-management", host: new URL(cma).host, insecure: true, retryOnError: false },
  { type: "plain", defaults: { spaceId: "space1", environmentId: "master" } },
);
const sys = (id, version) => ({ sys: { id, type: "Entry", version }, fields: {} });
await call("entry.get", () => client.entry.get({ entryId: "e1" }));
await call("entry.create", () => client.entry.create({ contentTypeId: "post" }, { fields: {} }));
await call("entry.createWithId", () => client.entry.createWithId({ contentTypeId: "post", entryId: "e2" }, { fields: {} }));
await call("entry.update", () => client.entry.update({ entryId: "e3" }, sys("e3", 3)));
await call("entry.publish", () => client.entry.publish({ entryId: "e4" }, sys("e4", 4)));
await call("entry.unpublish", () => client.entry.unpublish({ entryId: "e5" }));
await call("entry.delete", () => client.entry.delete({ entryId: "e6" }));
const link = (id, linkType) => ({ sys: { type: "Link", linkType, id, version: 1 } });
await call("bulkAction.publish", () =>
  client.bulkAction.publish({}, { entities: { sys: { type: "Array" }, items: [link("b1", "Entry"), link("b2", "Asset")] } }));
await call("apiKey.create", () => client.apiKey.create({}, { name: "key" }));
await call("locale.getMany", () => client.locale.getMany({}));

const delivery = require("contentful").createClient({
  accessToken: "canary-delivery", space: "space1", host: new URL(cda).host, insecure: true, retryOnError: false,
});
await call("getEntry", () => delivery.getEntry("d1"));
await call("getEntries", () => delivery.getEntries({ content_type: "post" }));
await call("getSpace", () => delivery.getSpace());

// The SDK has no base URL: its fetch is turned to the gateway.
const fetched = globalThis.fetch;
globalThis.fetch = (url, options) => {
  const to = new URL(url instanceof Request ? url.url : url);
  const target = new URL(to.pathname + to.search, microcms);
  return fetched(target, options);
};
const { createClient, createManagementClient } = require("microcms-js-sdk");
const content = createClient({ serviceDomain: "blog", apiKey: "canary-microcms" });
await call("getListDetail", () => content.getListDetail({ endpoint: "news", contentId: "m1", queries: { draftKey: "canary-draft" } }));
await call("create", () => content.create({ endpoint: "news", content: { title: "x" } }));
await call("update", () => content.update({ endpoint: "news", contentId: "m2", content: { title: "x" } }));
await call("delete", () => content.delete({ endpoint: "news", contentId: "m3" }));
