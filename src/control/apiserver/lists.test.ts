import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dig, makeKeys, open, startTestServer, type TestServer, watchLines } from "./testing.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer(await makeKeys());
  for (const name of ["one", "two"]) await server.call("POST", "/api/v1/namespaces", { body: { metadata: { name } } });
});
after(() => server.close());

const PATH = "/api/v1/namespaces/one/configmaps";

async function put(name: string, labels: Record<string, string> = {}): Promise<string> {
  const path = `${PATH}/${name}`;
  const exists = (await server.call("GET", path)).status === 200;
  const body = { metadata: { name, labels }, data: { at: String(server.store.revision) } };
  const answer = exists ? await server.call("PUT", path, { body }) : await server.call("POST", PATH, { body });
  assert.ok(answer.status < 300, answer.text);
  return String(answer.at("metadata.resourceVersion"));
}

/** Events until `count` came; the watch is closed then. */
async function watch(query: string, count: number, meanwhile: () => Promise<unknown> = async () => {}): Promise<unknown[]> {
  const response = await open(server, "GET", `${PATH}?watch=1&${query}`);
  assert.equal(response.statusCode, 200);
  const events: unknown[] = [];
  const running = meanwhile();
  for await (const event of watchLines(response)) {
    events.push(event);
    if (events.length === count) break;
  }
  await running;
  response.destroy();
  return events;
}

function brief(event: unknown): string {
  return `${String(dig(event, "type"))} ${String(dig(event, "object.metadata.name"))}`;
}

test("pages of one list are of one moment", async () => {
  for (let i = 0; i < 7; i++) await put(`page-${i}`);
  const first = await server.call("GET", `${PATH}?limit=3`);
  assert.equal((first.at("items") as unknown[]).length, 3);
  assert.equal(first.at("items.0.kind"), undefined);
  assert.equal(first.at("metadata.remainingItemCount"), 4);
  await server.call("DELETE", `${PATH}/page-4`);
  await put("page-45");
  const token = encodeURIComponent(String(first.at("metadata.continue")));
  const second = await server.call("GET", `${PATH}?limit=3&continue=${token}`);
  const names = (second.at("items") as { metadata: { name: string } }[]).map((item) => item.metadata.name);
  assert.deepEqual(names, ["page-3", "page-4", "page-5"]);
  assert.equal(second.at("metadata.resourceVersion"), first.at("metadata.resourceVersion"));
  assert.equal((await server.call("GET", `${PATH}?continue=nonsense`)).status, 400);
  for (const name of ["page-0", "page-1", "page-2", "page-3", "page-5", "page-6", "page-45"])
    await server.call("DELETE", `${PATH}/${name}`);
});

test("selectors, tables, metadata only", async () => {
  await put("blue", { color: "blue" });
  await put("red", { color: "red" });
  const list = await server.call("GET", `${PATH}?labelSelector=color%20in%20(blue)&limit=1`);
  assert.deepEqual([list.at("items.0.metadata.name"), list.at("metadata.remainingItemCount")], ["blue", undefined]);
  const named = await server.call("GET", "/api/v1/configmaps?fieldSelector=metadata.name%3Dred");
  assert.deepEqual([named.at("items.0.metadata.name"), named.at("items.1")], ["red", undefined]);
  assert.match(
    (await server.call("GET", `${PATH}?fieldSelector=data%3Dx`)).text,
    /Unable to find \\"\/v1, Resource=configmaps\\".*field label not supported|known field selector/,
  );
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const table = await server.call("GET", PATH, { headers: { accept } });
  assert.deepEqual(
    [table.at("kind"), table.at("columnDefinitions.0.name"), table.at("rows.0.object.kind")],
    ["Table", "Name", "PartialObjectMetadata"],
  );
  const partial = await server.call("GET", PATH, { headers: { accept: accept.replace("Table", "PartialObjectMetadataList") } });
  assert.deepEqual(
    [partial.at("kind"), partial.at("items.0.kind"), partial.at("items.0.data")],
    ["PartialObjectMetadataList", "PartialObjectMetadata", undefined],
  );
  for (const name of ["blue", "red"]) await server.call("DELETE", `${PATH}/${name}`);
});

test("an empty list has a version", async () => {
  const list = await server.call("GET", "/api/v1/namespaces/two/pods");
  assert.deepEqual([list.at("kind"), list.at("items")], ["PodList", []]);
  assert.ok(Number(list.at("metadata.resourceVersion")) > 0);
});

test("a version from the future is waited for, then refused so that reflectors understand", async () => {
  const start = performance.now();
  const answer = await server.call("GET", `${PATH}?resourceVersion=999999999&resourceVersionMatch=NotOlderThan`);
  assert.deepEqual([answer.status, answer.at("reason"), answer.at("details.causes.0.reason")], [504, "Timeout", "ResourceVersionTooLarge"]);
  assert.ok(performance.now() - start >= 2900);
  const soon = server.call("GET", `${PATH}?resourceVersion=${server.store.revision + 1}`);
  await put("soon");
  assert.equal((await soon).status, 200);
  await server.call("DELETE", `${PATH}/soon`);
});

test("a watch goes on from its version", async () => {
  const from = await put("w");
  const events = await watch(`resourceVersion=${from}`, 3, async () => {
    await put("w");
    await server.call("DELETE", `${PATH}/w`);
    await put("w2");
  });
  assert.deepEqual(events.map(brief), ["MODIFIED w", "DELETED w", "ADDED w2"]);
  const [modified, deleted] = events;
  assert.ok(Number(dig(deleted, "object.metadata.resourceVersion")) > Number(dig(modified, "object.metadata.resourceVersion")));
  const again = await watch(`resourceVersion=${from}`, 3);
  assert.deepEqual(again, events);
  await server.call("DELETE", `${PATH}/w2`);
});

test("a watch without a version begins with what is there", async () => {
  await put("there");
  assert.deepEqual((await watch("", 2, () => put("next"))).map(brief), ["ADDED there", "ADDED next"]);
  assert.deepEqual((await watch("resourceVersion=0", 2)).map(brief), ["ADDED next", "ADDED there"]);
  for (const name of ["there", "next"]) await server.call("DELETE", `${PATH}/${name}`);
});

test("WatchList: the state, the bookmark that ends it, then changes", async () => {
  await put("init");
  const query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const events = await watch(query, 3, () => put("after"));
  assert.deepEqual(events.map(brief), ["ADDED init", "BOOKMARK undefined", "ADDED after"]);
  const bookmark = dig(events[1], "object");
  assert.equal((dig(bookmark, "metadata.annotations") as Record<string, string>)["k8s.io/initial-events-end"], "true");
  assert.equal(dig(bookmark, "kind"), "ConfigMap");
  assert.ok(Number(dig(bookmark, "metadata.resourceVersion")) < Number(dig(events[2], "object.metadata.resourceVersion")));
  const without = await server.call("GET", `${PATH}?watch=1&sendInitialEvents=true`);
  assert.deepEqual([without.status, without.at("reason")], [422, "Invalid"]);
  assert.equal((await server.call("GET", `${PATH}?sendInitialEvents=true`)).status, 422);
  for (const name of ["init", "after"]) await server.call("DELETE", `${PATH}/${name}`);
});

test("an object that stops to match is deleted for the watcher, with its old state and the new version", async () => {
  const from = await put("m", { on: "yes" });
  const events = await watch(`labelSelector=on%3Dyes&resourceVersion=${from}`, 2, async () => {
    const off = await put("m", { on: "no" });
    await put("m", { on: "no", more: "x" });
    await put("m", { on: "yes" });
    assert.ok(Number(off) > Number(from));
  });
  assert.deepEqual(events.map(brief), ["DELETED m", "ADDED m"]);
  assert.equal(dig(events[0], "object.metadata.labels.on"), "yes");
  assert.ok(Number(dig(events[0], "object.metadata.resourceVersion")) > Number(from));
  await server.call("DELETE", `${PATH}/m`);
});

test("a version that is too old is told in the stream", async () => {
  for (let i = 0; i < 1400; i++) await server.store.put("secrets", "one/x", (await firstVersion()) as never);
  const response = await open(server, "GET", "/api/v1/namespaces/one/secrets?watch=1&resourceVersion=1");
  for await (const event of watchLines(response)) {
    assert.equal(dig(event, "type"), "ERROR");
    assert.deepEqual([dig(event, "object.code"), dig(event, "object.reason")], [410, "Expired"]);
  }
});

async function firstVersion(): Promise<unknown> {
  return server.store.list("namespaces").entries[0]?.value;
}

test("a watch of one object by its path, and one that ends by itself", async () => {
  await put("single");
  const response = await open(server, "GET", `${PATH}/single?watch=1&timeoutSeconds=1`);
  const running = put("other").then(() => put("single"));
  const events: unknown[] = [];
  for await (const event of watchLines(response)) events.push(event);
  await running;
  assert.deepEqual(events.map(brief), ["ADDED single", "MODIFIED single"]);
  for (const name of ["single", "other"]) await server.call("DELETE", `${PATH}/${name}`);
});

test("a watched table has its columns once", async () => {
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  await put("t1");
  const response = await open(server, "GET", `${PATH}?watch=1`, { headers: { accept } });
  const running = put("t2");
  const tables: unknown[] = [];
  for await (const event of watchLines(response)) {
    tables.push(dig(event, "object"));
    if (tables.length === 2) break;
  }
  await running;
  response.destroy();
  assert.deepEqual(
    tables.map((table) => (dig(table, "columnDefinitions") as unknown[]).length > 0),
    [true, false],
  );
  assert.equal(dig(tables[1], "rows.0.cells.0"), "t2");
});
