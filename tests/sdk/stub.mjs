// Answers as the APIs do, as far as a record depends on it: who wrote, what was created, what a
// cache said, in gzip and chunks where the client takes it. Prints one address for each of
// them and serves until its standard input ends.
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";

const verbs = new Set(["published", "archived", "validate", "revoked", "versions", "files", "process", "complete"]);
// Whose each credential is. What is not in here is nobody's.
const people = { "CFPAT-canary-ann": ["User", "u-ann"], "canary-app": ["AppDefinition", "a1"] };
const link = ([linkType, id]) => ({ sys: { type: "Link", linkType, id } });
let made = 0;

function management(request, url, body) {
  const who = people[(request.headers.authorization ?? "").replace("Bearer ", "")];
  const by = who && link(who);
  if (url.pathname === "/users/me") {
    return { sys: { type: "User", id: who?.[1] ?? "u-unknown" }, firstName: "Ann", lastName: "Lee", email: "ann@x.test" };
  }
  if (url.pathname.endsWith("/access_tokens") && request.method === "POST") return { token: "canary-app", sys: { id: `made${++made}` } };
  const segments = url.pathname.split("/").filter((segment) => segment && !verbs.has(segment));
  const id = request.method === "POST" ? `made${++made}` : segments.at(-1);
  const sys = { id, type: url.pathname.endsWith("/invoke") ? "AiActionInvocation" : "Thing", version: 4, createdBy: by, updatedBy: by, status: "succeeded" };
  if (url.pathname.endsWith("/published")) sys.publishedBy = by;
  if (url.pathname.endsWith("/archived")) sys.archivedBy = by;
  if (request.method === "GET") sys.updatedBy = link(["User", "u-editor"]);
  const key = url.pathname.includes("api_keys") ? { name: "Website", accessToken: id === "k1" ? "canary-delivery" : `canary-${id}` } : {};
  return { sys, fields: {}, items: [], total: 0, skip: 0, limit: 100, groupControls: [], controls: [], ...key };
}

function delivery(url) {
  const sys = { type: "Array", id: url.pathname.split("/").at(-1), space: link(["Space", "space1"]) };
  return { sys, items: [], total: 0, skip: 0, limit: 100, fields: {}, nextSyncUrl: "https://x.test/?sync_token=next", locales: [] };
}

function microcms(request, url) {
  if (url.pathname.endsWith("/media") && request.method === "POST") return { url: "https://images.microcms-assets.io/assets/s/made.png" };
  if (request.method === "GET" && url.pathname.startsWith("/api/v1/contents/")) {
    const id = url.pathname.split("/").at(-1);
    return { id, status: id === "both" ? ["PUBLISH", "DRAFT"] : id === "draft" ? ["DRAFT"] : ["PUBLISH"], contents: [] };
  }
  if (request.method === "POST") return { id: "generated1" };
  return { id: url.pathname.split("/").at(-1), contents: [], totalCount: 0, offset: 0, limit: 10, media: [] };
}

const serve = (api) => async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const url = new URL(request.url, "http://x.test");
  const headers = { "Content-Type": "application/json" };
  const hit = url.pathname.includes("hit") || url.search.includes("hit");
  let status = request.method === "POST" ? 201 : 200;
  let answer;
  if (api === "cma") {
    headers["X-Contentful-Request-Id"] = `cf-${++made}`;
    answer = management(request, url, Buffer.concat(chunks));
    if (request.method === "DELETE" && !url.pathname.endsWith("/published") && !url.pathname.endsWith("/archived") || url.pathname.endsWith("/process")) status = 204;
    if (request.method === "PUT" && !request.headers["x-contentful-version"] && !url.pathname.endsWith("/published")) status = 201;
  } else if (api === "cda") {
    headers["X-Contentful-Request-Id"] = `cf-${++made}`;
    headers["X-Cache"] = hit ? "MISS, HIT" : "MISS";
    headers.Age = hit ? "12" : "0";
    answer = delivery(url);
  } else {
    headers["X-Cache"] = hit ? "Hit from cloudfront" : "Miss from cloudfront";
    answer = microcms(request, url);
    if (request.method === "DELETE") status = 202;
  }
  if (status === 204) return response.writeHead(204, headers).end();
  let bytes = Buffer.from(JSON.stringify(answer));
  if ((request.headers["accept-encoding"] ?? "").includes("gzip")) {
    headers["Content-Encoding"] = "gzip";
    bytes = gzipSync(bytes);
    return response.writeHead(status, headers).end(bytes); // chunked
  }
  response.writeHead(status, { ...headers, "Content-Length": bytes.length }).end(bytes);
};
const listening = (api) => new Promise((done) => {
  const server = createServer(serve(api)).listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}`));
});
console.log((await Promise.all(["cma", "cda", "microcms", "microcms"].map(listening))).join(" "));
process.stdin.on("end", () => process.exit(0)).resume();
