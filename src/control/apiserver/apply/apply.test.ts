import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Answer, makeKeys, startTestServer, type TestServer } from "../testing.ts";
import { decodeFields, difference, encodeFields, formatPath, paths, union } from "./fields.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer(await makeKeys());
});
after(() => server.close());

const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";

function apply(path: string, manager: string, config: unknown, query = ""): Promise<Answer> {
  const headers = { "content-type": "application/apply-patch+yaml" };
  return server.call("PATCH", `${path}?fieldManager=${manager}${query}`, { raw: JSON.stringify(config), headers });
}

function merge(path: string, manager: string, body: unknown): Promise<Answer> {
  const headers = { "content-type": "application/merge-patch+json" };
  return server.call("PATCH", `${path}?fieldManager=${manager}`, { raw: JSON.stringify(body), headers });
}

function configMap(data: Record<string, string>, labels?: Record<string, string>): object {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "ignored-by-tests", ...(labels === undefined ? {} : { labels }) }, data };
}

function named(object: object, name: string): object {
  return { ...object, metadata: { ...("metadata" in object ? (object.metadata as object) : {}), name } };
}

const MAPS = "/api/v1/namespaces/default/configmaps";
const applyMap = (name: string, manager: string, data: Record<string, string>, query = ""): Promise<Answer> =>
  apply(`${MAPS}/${name}`, manager, named(configMap(data), name), query);

test("what is not there is created, what is the same is not written", async () => {
  const created = await applyMap("a", "me", { x: "1", y: "2" });
  assert.equal(created.status, 201, created.text);
  assert.deepEqual(created.at("metadata.managedFields.0.fieldsV1"), { "f:data": { "f:x": {}, "f:y": {} } });
  const again = await applyMap("a", "me", { x: "1", y: "2" });
  assert.equal(again.status, 200);
  assert.equal(again.at("metadata.resourceVersion"), created.at("metadata.resourceVersion"));
});

test("what is named no longer goes, unless somebody else names it", async () => {
  await applyMap("b", "one", { x: "1", y: "2", z: "3" });
  await applyMap("b", "two", { y: "2" });
  const less = await applyMap("b", "one", { x: "1" });
  assert.deepEqual(less.at("data"), { x: "1", y: "2" });
  const managers = less.at("metadata.managedFields") as { manager: string; fieldsV1: unknown }[];
  assert.deepEqual(
    new Map(managers.map((m) => [m.manager, m.fieldsV1])),
    new Map([
      ["one", { "f:data": { "f:x": {} } }],
      ["two", { "f:data": { "f:y": {} } }],
    ]),
  );
});

test("another's value is a conflict, and force takes it", async () => {
  await applyMap("c", "one", { x: "1", y: "1" });
  const refused = await applyMap("c", "two", { x: "2" });
  assert.deepEqual([refused.status, refused.at("reason")], [409, "Conflict"]);
  assert.equal(refused.at("message"), 'Apply failed with 1 conflict: conflict with "one": .data.x');
  assert.deepEqual(refused.at("details.causes"), [{ reason: "FieldManagerConflict", message: 'conflict with "one"', field: ".data.x" }]);
  const forced = await applyMap("c", "two", { x: "2" }, "&force=true");
  assert.deepEqual(forced.at("data"), { x: "2", y: "1" });
  assert.match((await applyMap("c", "one", { x: "1", y: "1" })).text, /conflict with \\"two\\"/);
});

test("an update takes what it changes", async () => {
  await applyMap("d", "one", { x: "1", y: "1" });
  await merge(`${MAPS}/d`, "editor", { data: { x: "9" } });
  const refused = await applyMap("d", "one", { x: "1", y: "1" });
  assert.match(String(refused.at("message")), /^Apply failed with 1 conflict: conflict with "editor" using v1 at \S+Z: \.data\.x$/);
  const without = await applyMap("d", "one", { y: "1" });
  assert.deepEqual(without.at("data"), { x: "9", y: "1" });
});

test("items of keyed lists are owned one by one", async () => {
  const labels = { app: "w" };
  const base = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "w" } };
  const containers = (...list: object[]): object => ({ ...base, spec: { template: { spec: { containers: list } } } });
  const whole = {
    ...base,
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "main", image: "a", ports: [{ containerPort: 80 }] }] } },
    },
  };
  const created = await apply(`${DEPLOYMENTS}/w`, "owner", whole);
  assert.equal(created.status, 201, created.text);
  const side = await apply(
    `${DEPLOYMENTS}/w`,
    "injector",
    containers({ name: "side", image: "s" }, { name: "main", env: [{ name: "A", value: "1" }] }),
  );
  assert.equal(side.status, 200, side.text);
  const names = (answer: Answer): string[] => (answer.at("spec.template.spec.containers") as { name: string }[]).map((c) => c.name);
  assert.deepEqual(names(side), ["main", "side"]);
  assert.equal(side.at("spec.template.spec.containers.0.image"), "a");
  const same = await apply(`${DEPLOYMENTS}/w`, "owner", whole);
  assert.deepEqual(
    [same.at("metadata.resourceVersion"), same.at("metadata.generation")],
    [side.at("metadata.resourceVersion"), side.at("metadata.generation")],
  );
  const gone = await apply(`${DEPLOYMENTS}/w`, "injector", containers({ name: "main" }));
  assert.deepEqual([names(gone), gone.at("spec.template.spec.containers.0.env")], [["main"], undefined]);
  assert.equal(gone.at("spec.template.spec.containers.0.ports.0.containerPort"), 80);
});

test("the replicas of a scaled Deployment belong to who scaled it", async () => {
  const labels = { app: "s" };
  const spec = {
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [{ name: "main", image: "a" }] } },
  };
  const config = (replicas: number): object => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "s" },
    spec: { ...spec, replicas },
  });
  await apply(`${DEPLOYMENTS}/s`, "owner", config(1));
  await merge(`${DEPLOYMENTS}/s/scale`, "scaler", { spec: { replicas: 5 } });
  const refused = await apply(`${DEPLOYMENTS}/s`, "owner", config(1));
  assert.match(String(refused.at("message")), /conflict with "scaler" with subresource "scale" using apps\/v1 at \S+: \.spec\.replicas/);
});

test("objects that were never applied belong to those who wrote them", async () => {
  await server.call("POST", MAPS, { body: named(configMap({ x: "1" }), "old") });
  const refused = await applyMap("old", "me", { x: "2" });
  assert.match(String(refused.at("message")), /conflict with "before-first-apply" using v1/);
  const taken = await applyMap("old", "me", { x: "2" }, "&force=true");
  assert.deepEqual(taken.at("data"), { x: "2" });
});

test("apply asks for a manager, a kind, and no managedFields", async () => {
  const headers = { "content-type": "application/apply-patch+yaml" };
  const nobody = await server.call("PATCH", `${MAPS}/x`, { raw: JSON.stringify(configMap({})), headers });
  assert.deepEqual([nobody.status, nobody.at("details.causes.0.field")], [422, "fieldManager"]);
  assert.equal((await apply(`${MAPS}/x`, "me", { metadata: { name: "x" } })).status, 400);
  assert.equal((await apply(`${MAPS}/x`, "me", { ...configMap({}), metadata: { name: "x", managedFields: [{}] } })).status, 400);
  const yaml = await server.call("PATCH", `${MAPS}/yaml?fieldManager=me`, {
    raw: "apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n",
    headers,
  });
  assert.deepEqual([yaml.status, yaml.at("metadata.name")], [201, "yaml"]);
  const strict = await apply(`${MAPS}/x`, "me", { ...configMap({}), metadata: { name: "x" }, dota: 1 }, "&fieldValidation=Strict");
  assert.match(strict.text, /unknown field \\"dota\\"/);
});

test("sets of fields survive their written form", () => {
  const written = {
    "f:spec": { "f:containers": { 'k:{"name":"a"}': { ".": {}, "f:image": {} } }, "f:replicas": {} },
    "f:metadata": { "f:finalizers": { 'v:"x"': {} } },
  };
  const fields = decodeFields(written);
  assert.deepEqual(encodeFields(fields), written);
  assert.deepEqual([...paths(fields)].map(formatPath).sort(), [
    '.metadata.finalizers[="x"]',
    '.spec.containers[name="a"]',
    '.spec.containers[name="a"].image',
    ".spec.replicas",
  ]);
  assert.deepEqual(encodeFields(difference(union(fields, decodeFields({ "f:x": {} })), fields)), { "f:x": {} });
});
