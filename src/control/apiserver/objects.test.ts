import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Answer, makeKeys, startTestServer, type TestServer } from "./testing.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer(await makeKeys());
  for (const name of ["one", "two"]) await server.call("POST", "/api/v1/namespaces", { body: { metadata: { name } } });
});
after(() => server.close());

const CONFIG_MAPS = "/api/v1/namespaces/one/configmaps";
const DEPLOYMENTS = "/apis/apps/v1/namespaces/one/deployments";
const PODS = "/api/v1/namespaces/one/pods";

function deployment(name: string): object {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers: [{ name: "main", image: "x" }] } };
  return { metadata: { name }, spec: { replicas: 1, selector: { matchLabels: labels }, template } };
}

function pod(name: string, spec: object = {}): object {
  return { metadata: { name }, spec: { containers: [{ name: "main", image: "x" }], ...spec } };
}

function refused(answer: Answer, code: number, reason: string, message: RegExp): void {
  assert.equal(answer.status, code, answer.text);
  assert.equal(answer.at("kind"), "Status");
  assert.equal(answer.at("reason"), reason);
  assert.match(String(answer.at("message")), message);
}

function patch(path: string, kind: "json" | "merge" | "strategic", body: unknown): Promise<Answer> {
  const type = { json: "json-patch", merge: "merge-patch", strategic: "strategic-merge-patch" }[kind];
  return server.call("PATCH", path, { raw: JSON.stringify(body), headers: { "content-type": `application/${type}+json` } });
}

test("create, get, update, delete", async () => {
  const created = await server.call("POST", CONFIG_MAPS, {
    body: { metadata: { name: "a", creationTimestamp: null, uid: "mine" }, data: { x: "1" } },
  });
  assert.equal(created.status, 201);
  assert.match(created.text, /^\{"kind":"ConfigMap","apiVersion":"v1","metadata":\{/);
  assert.notEqual(created.at("metadata.uid"), "mine");
  const got = await server.call("GET", `${CONFIG_MAPS}/a`);
  assert.equal(got.text, created.text);
  const updated = await server.call("PUT", `${CONFIG_MAPS}/a`, { body: { metadata: { name: "a" }, data: { x: "2" } } });
  assert.equal(updated.status, 200);
  assert.equal(updated.at("metadata.uid"), created.at("metadata.uid"));
  assert.ok(Number(updated.at("metadata.resourceVersion")) > Number(created.at("metadata.resourceVersion")));
  const deleted = await server.call("DELETE", `${CONFIG_MAPS}/a`);
  assert.deepEqual(
    [deleted.status, deleted.at("status"), deleted.at("details.name"), deleted.at("details.kind")],
    [200, "Success", "a", "configmaps"],
  );
  refused(await server.call("GET", `${CONFIG_MAPS}/a`), 404, "NotFound", /^configmaps "a" not found$/);
});

test("what does not change is not written", async () => {
  const created = await server.call("POST", DEPLOYMENTS, { body: deployment("noop") });
  const same = await server.call("PUT", `${DEPLOYMENTS}/noop`, { body: JSON.parse(created.text) });
  assert.equal(same.at("metadata.resourceVersion"), created.at("metadata.resourceVersion"));
  const patched = await patch(`${DEPLOYMENTS}/noop`, "strategic", { spec: { replicas: 1 } });
  assert.equal(patched.at("metadata.resourceVersion"), created.at("metadata.resourceVersion"));
});

test("a status write may change labels and annotations, and of Deployments annotations alone", async () => {
  const path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
  const backend = { service: { name: "b", port: { number: 80 } } };
  await server.call("POST", path, { body: { metadata: { name: "i" }, spec: { defaultBackend: backend } } });
  const status = { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } };
  const metadata = { labels: { a: "b" }, annotations: { c: "d" }, finalizers: ["example.test/f"] };
  const answer = await patch(`${path}/i/status`, "merge", { metadata, status, spec: null });
  assert.deepEqual([answer.at("metadata.labels"), answer.at("metadata.annotations")], [{ a: "b" }, { c: "d" }], answer.text);
  assert.deepEqual([answer.at("metadata.finalizers"), answer.at("spec.defaultBackend.service.name")], [undefined, "b"]);
});

test("the generation counts changes of the spec, and each part is written for itself", async () => {
  await server.call("POST", DEPLOYMENTS, { body: { ...deployment("parts"), status: { replicas: 9 } } });
  const created = await server.call("GET", `${DEPLOYMENTS}/parts`);
  assert.deepEqual([created.at("metadata.generation"), created.at("status.replicas")], [1, undefined]);
  const labelled = await patch(`${DEPLOYMENTS}/parts`, "merge", { metadata: { labels: { a: "b" } }, status: { replicas: 9 } });
  assert.deepEqual([labelled.at("metadata.generation"), labelled.at("status.replicas")], [1, undefined]);
  const scaled = await patch(`${DEPLOYMENTS}/parts`, "json", [{ op: "replace", path: "/spec/replicas", value: 4 }]);
  assert.equal(scaled.at("metadata.generation"), 2);
  const status = await patch(`${DEPLOYMENTS}/parts/status`, "merge", {
    spec: { replicas: 7 },
    status: { replicas: 3 },
    metadata: { labels: { c: "d" } },
  });
  assert.deepEqual([status.at("metadata.generation"), status.at("spec.replicas"), status.at("status.replicas")], [2, 4, 3]);
  assert.deepEqual(status.at("metadata.labels"), { a: "b" });
  const annotated = await patch(`${DEPLOYMENTS}/parts/status`, "merge", { metadata: { annotations: { e: "f" } } });
  assert.equal(annotated.at("metadata.annotations.e"), "f");
  const scale = await server.call("GET", `${DEPLOYMENTS}/parts/scale`);
  assert.deepEqual(
    [scale.at("kind"), scale.at("spec.replicas"), scale.at("status.replicas"), scale.at("status.selector")],
    ["Scale", 4, 3, "app=parts"],
  );
  const rescaled = await patch(`${DEPLOYMENTS}/parts/scale`, "merge", { spec: { replicas: 0 } });
  assert.equal(rescaled.at("spec.replicas"), 0);
  assert.equal((await server.call("GET", `${DEPLOYMENTS}/parts`)).at("metadata.generation"), 3);
});

test("conflicts", async () => {
  const created = await server.call("POST", CONFIG_MAPS, { body: { metadata: { name: "c" } } });
  refused(
    await server.call("POST", CONFIG_MAPS, { body: { metadata: { name: "c" } } }),
    409,
    "AlreadyExists",
    /^configmaps "c" already exists$/,
  );
  await patch(`${CONFIG_MAPS}/c`, "merge", { data: { a: "1" } });
  const stale = { ...JSON.parse(created.text), data: { a: "2" } };
  const message =
    /^Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to the latest version and try again$/;
  refused(await server.call("PUT", `${CONFIG_MAPS}/c`, { body: stale }), 409, "Conflict", message);
  refused(await patch(`${CONFIG_MAPS}/c`, "merge", { metadata: { resourceVersion: "1" }, data: { a: "3" } }), 409, "Conflict", message);
  const other = { preconditions: { uid: "other" } };
  refused(
    await server.call("DELETE", `${CONFIG_MAPS}/c`, { body: other }),
    409,
    "Conflict",
    /Precondition failed: UID in precondition: other, UID in object meta: /,
  );
  const many = await Promise.all(Array.from({ length: 20 }, (_, i) => patch(`${CONFIG_MAPS}/c`, "merge", { data: { [`k${i}`]: "x" } })));
  assert.ok(many.every((answer) => answer.status === 200));
  assert.equal(Object.keys((await server.call("GET", `${CONFIG_MAPS}/c`)).at("data") as object).length, 21);
});

test("the path and the body must agree", async () => {
  refused(
    await server.call("POST", CONFIG_MAPS, { body: { metadata: { name: "n", namespace: "two" } } }),
    400,
    "BadRequest",
    /namespace of the provided object does not match/,
  );
  refused(
    await server.call("PUT", `${CONFIG_MAPS}/n`, { body: { metadata: { name: "m" } } }),
    400,
    "BadRequest",
    /the name of the object \(m\) does not match the name on the URL \(n\)/,
  );
  refused(
    await server.call("POST", CONFIG_MAPS, { body: { kind: "Secret", metadata: { name: "n" } } }),
    400,
    "BadRequest",
    /cannot be handled as a ConfigMap/,
  );
  refused(
    await server.call("POST", CONFIG_MAPS, { body: { apiVersion: "v2", metadata: { name: "n" } } }),
    400,
    "BadRequest",
    /the API version in the data \(v2\) does not match the expected API version \(v1\)/,
  );
  refused(
    await server.call("POST", CONFIG_MAPS, { body: { metadata: { name: "n", resourceVersion: "5" } } }),
    400,
    "BadRequest",
    /resourceVersion should not be set/,
  );
  refused(await server.call("PUT", `${CONFIG_MAPS}/none`, { body: { metadata: { name: "none" } } }), 404, "NotFound", /not found/);
  refused(await server.call("PATCH", `${CONFIG_MAPS}/none`, { body: {} }), 415, "UnsupportedMediaType", /application\/json-patch\+json/);
  refused(
    await server.call("POST", CONFIG_MAPS, { raw: "{", headers: { "content-type": "application/json" } }),
    400,
    "BadRequest",
    /not JSON/,
  );
  refused(
    await server.call("POST", CONFIG_MAPS, { raw: "x", headers: { "content-type": "text/css" } }),
    415,
    "UnsupportedMediaType",
    /accepted media types/,
  );
  refused(await server.call("POST", CONFIG_MAPS, { raw: "x".repeat(4 << 20) }), 413, "RequestEntityTooLarge", /limit is 3145728/);
});

test("names are generated, and taken ones are tried again", async () => {
  const names = new Set<unknown>();
  for (let i = 0; i < 5; i++) {
    const answer = await server.call("POST", CONFIG_MAPS, { body: { metadata: { generateName: "gen-" } } });
    assert.match(String(answer.at("metadata.name")), /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    names.add(answer.at("metadata.name"));
  }
  assert.equal(names.size, 5);
});

test("dry run does everything but the write", async () => {
  const revision = server.store.revision;
  assert.equal((await server.call("POST", `${CONFIG_MAPS}?dryRun=All`, { body: { metadata: { name: "dry" } } })).status, 201);
  const service = await server.call("POST", "/api/v1/namespaces/one/services?dryRun=All", {
    body: { metadata: { name: "dry" }, spec: { ports: [{ port: 1 }] } },
  });
  assert.equal(service.status, 201);
  assert.equal((await server.call("DELETE", "/api/v1/namespaces/default/services/kubernetes?dryRun=All")).status, 200);
  assert.equal(server.store.revision, revision);
  const again = await server.call("POST", "/api/v1/namespaces/one/services", {
    body: { metadata: { name: "wet" }, spec: { clusterIP: service.at("spec.clusterIP"), ports: [{ port: 1 }] } },
  });
  assert.equal(again.status, 201, again.text);
});

test("unknown fields: refused, told, or dropped", async () => {
  const body = { metadata: { name: "extra" }, data: { a: "b" }, dota: {} };
  refused(
    await server.call("POST", `${CONFIG_MAPS}?fieldValidation=Strict`, { body }),
    400,
    "BadRequest",
    /strict decoding error: unknown field "dota"/,
  );
  const warned = await server.call("POST", `${CONFIG_MAPS}?fieldValidation=Warn&dryRun=All`, { body });
  assert.equal(warned.headers["warning"], '299 - "unknown field \\"dota\\""');
  const dropped = await server.call("POST", `${CONFIG_MAPS}?fieldValidation=Ignore`, { body });
  assert.deepEqual([dropped.status, dropped.headers["warning"], dropped.at("dota")], [201, undefined, undefined]);
});

test("YAML goes in and comes out", async () => {
  const headers = { "content-type": "application/yaml", accept: "application/yaml" };
  const answer = await server.call("POST", CONFIG_MAPS, { raw: "metadata:\n  name: yaml\ndata: {a: b}\n", headers });
  assert.equal(answer.headers["content-type"], "application/yaml");
  assert.match(answer.text, /^data:\n {2}a: b$/m);
});

test("finalizers hold an object until the last one is gone", async () => {
  await server.call("POST", CONFIG_MAPS, { body: { metadata: { name: "held", finalizers: ["a.test/x"] } } });
  const marked = await server.call("DELETE", `${CONFIG_MAPS}/held`);
  assert.deepEqual([marked.status, marked.at("kind"), marked.at("metadata.deletionGracePeriodSeconds")], [200, "ConfigMap", 0]);
  const version = marked.at("metadata.resourceVersion");
  assert.equal((await server.call("DELETE", `${CONFIG_MAPS}/held`)).at("metadata.resourceVersion"), version);
  const last = await patch(`${CONFIG_MAPS}/held`, "merge", { metadata: { finalizers: null } });
  assert.deepEqual([last.status, last.at("metadata.name")], [200, "held"]);
  assert.equal((await server.call("GET", `${CONFIG_MAPS}/held`)).status, 404);
});

test("propagation policies become finalizers", async () => {
  await server.call("POST", DEPLOYMENTS, { body: deployment("owner") });
  const foreground = await server.call("DELETE", `${DEPLOYMENTS}/owner`, { body: { propagationPolicy: "Foreground" } });
  assert.deepEqual(foreground.at("metadata.finalizers"), ["foregroundDeletion"]);
  await server.call("POST", DEPLOYMENTS, { body: deployment("parent") });
  const orphan = await server.call("DELETE", `${DEPLOYMENTS}/parent?propagationPolicy=Orphan`);
  assert.deepEqual(orphan.at("metadata.finalizers"), ["orphan"]);
  refused(await server.call("DELETE", `${DEPLOYMENTS}/parent?propagationPolicy=Nothing`), 400, "BadRequest", /propagationPolicy/);
});

test("pods: admission, binding, graceful deletion", async () => {
  const created = await server.call("POST", PODS, { body: pod("p") });
  assert.equal(created.status, 201, created.text);
  assert.deepEqual([created.at("status.phase"), created.at("status.qosClass"), created.at("spec.priority")], ["Pending", "BestEffort", 0]);
  assert.equal(created.at("spec.serviceAccountName"), "default");
  assert.match(String(created.at("spec.volumes.0.name")), /^kube-api-access-/);
  assert.equal(created.at("spec.containers.0.volumeMounts.0.mountPath"), "/var/run/secrets/kubernetes.io/serviceaccount");
  assert.equal(created.at("spec.tolerations.0.tolerationSeconds"), 300);
  const binding = { metadata: { name: "p" }, target: { kind: "Node", name: "node-1" } };
  assert.equal((await server.call("POST", `${PODS}/p/binding`, { body: binding })).status, 201);
  refused(await server.call("POST", `${PODS}/p/binding`, { body: binding }), 409, "Conflict", /pod p is already assigned to node "node-1"/);
  const bound = await server.call("GET", `${PODS}/p`);
  assert.deepEqual([bound.at("spec.nodeName"), bound.at("status.conditions.0.type")], ["node-1", "PodScheduled"]);
  const marked = await server.call("DELETE", `${PODS}/p`);
  assert.equal(marked.at("metadata.deletionGracePeriodSeconds"), 30);
  assert.equal((await server.call("DELETE", `${PODS}/p?gracePeriodSeconds=60`)).at("metadata.deletionGracePeriodSeconds"), 30);
  assert.equal((await server.call("DELETE", `${PODS}/p?gracePeriodSeconds=2`)).at("metadata.deletionGracePeriodSeconds"), 2);
  const uid = bound.at("metadata.uid");
  assert.equal((await server.call("DELETE", `${PODS}/p`, { body: { gracePeriodSeconds: 0, preconditions: { uid } } })).status, 200);
  assert.equal((await server.call("GET", `${PODS}/p`)).status, 404);
});

test("pods without a node go at once, evictions are deletes", async () => {
  await server.call("POST", PODS, { body: pod("free") });
  await server.call("DELETE", `${PODS}/free`);
  assert.equal((await server.call("GET", `${PODS}/free`)).status, 404);
  await server.call("POST", PODS, { body: pod("evicted") });
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "evicted" } };
  assert.equal((await server.call("POST", `${PODS}/evicted/eviction`, { body: eviction })).status, 201);
  assert.equal((await server.call("GET", `${PODS}/evicted`)).status, 404);
  refused(
    await server.call("POST", PODS, { body: pod("nobody", { serviceAccountName: "nobody" }) }),
    403,
    "Forbidden",
    /error looking up service account one\/nobody/,
  );
});

test("collections are deleted by selector", async () => {
  for (const name of ["d1", "d2", "d3"]) {
    await server.call("POST", "/api/v1/namespaces/two/secrets", { body: { metadata: { name, labels: { drop: String(name !== "d2") } } } });
  }
  const answer = await server.call("DELETE", "/api/v1/namespaces/two/secrets?labelSelector=drop%3Dtrue");
  assert.equal(answer.at("kind"), "SecretList");
  assert.equal((answer.at("items") as unknown[]).length, 2);
  const left = await server.call("GET", "/api/v1/namespaces/two/secrets");
  assert.deepEqual(
    (left.at("items") as { metadata: { name: string } }[]).map((item) => item.metadata.name),
    ["d2"],
  );
});

test("a namespace ends in steps", async () => {
  await server.call("POST", "/api/v1/namespaces", { body: { metadata: { name: "ending" } } });
  const created = await server.call("GET", "/api/v1/namespaces/ending");
  assert.deepEqual([created.at("status.phase"), created.at("spec.finalizers")], ["Active", ["kubernetes"]]);
  const marked = await server.call("DELETE", "/api/v1/namespaces/ending");
  assert.equal(marked.at("status.phase"), "Terminating");
  const late = await server.call("POST", "/api/v1/namespaces/ending/configmaps", { body: { metadata: { name: "late" } } });
  refused(late, 403, "Forbidden", /unable to create new content in namespace ending because it is being terminated/);
  assert.equal(late.at("details.causes.0.reason"), "NamespaceTerminating");
  const finalized = await server.call("PUT", "/api/v1/namespaces/ending/finalize", { body: { metadata: { name: "ending" }, spec: {} } });
  assert.equal(finalized.status, 200);
  assert.equal((await server.call("GET", "/api/v1/namespaces/ending")).status, 404);
  refused(await server.call("DELETE", "/api/v1/namespaces/kube-system"), 403, "Forbidden", /this namespace may not be deleted/);
  refused(
    await server.call("POST", "/api/v1/namespaces/nowhere/configmaps", { body: { metadata: { name: "x" } } }),
    404,
    "NotFound",
    /^namespaces "nowhere" not found$/,
  );
});

test("secrets take text, leases are created by PUT, jobs select their pods", async () => {
  const secret = await server.call("POST", "/api/v1/namespaces/one/secrets", { body: { metadata: { name: "s" }, stringData: { a: "b" } } });
  assert.deepEqual([secret.at("data.a"), secret.at("stringData")], ["Yg==", undefined]);
  const lease = await server.call("PUT", "/apis/coordination.k8s.io/v1/namespaces/one/leases/l", {
    body: { metadata: { name: "l" }, spec: { holderIdentity: "me" } },
  });
  assert.equal(lease.status, 201);
  const template = { spec: { restartPolicy: "Never", containers: [{ name: "main", image: "x" }] } };
  const job = await server.call("POST", "/apis/batch/v1/namespaces/one/jobs", { body: { metadata: { name: "j" }, spec: { template } } });
  assert.equal(job.status, 201, job.text);
  const selector = job.at("spec.selector.matchLabels") as Record<string, string>;
  assert.equal(selector["batch.kubernetes.io/controller-uid"], job.at("metadata.uid"));
});

test("events have two forms and one store", async () => {
  const body = {
    metadata: { name: "e" },
    regarding: { kind: "Pod", name: "p", namespace: "one" },
    note: "seen",
    reason: "Seen",
    type: "Normal",
    action: "Look",
    reportingController: "a.test/b",
    reportingInstance: "i",
    eventTime: "2024-01-01T00:00:00.000000Z",
  };
  const created = await server.call("POST", "/apis/events.k8s.io/v1/namespaces/one/events", { body });
  assert.deepEqual([created.status, created.at("note")], [201, "seen"], created.text);
  const core = await server.call("GET", "/api/v1/namespaces/one/events/e");
  assert.deepEqual([core.at("message"), core.at("involvedObject.name"), core.at("apiVersion")], ["seen", "p", "v1"]);
  const selected = await server.call("GET", "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp");
  assert.deepEqual([selected.at("items.0.note"), selected.at("items.0.kind")], ["seen", undefined]);
});

test("what is not served, and what a resource cannot", async () => {
  assert.equal((await server.call("GET", "/apis/none.test/v1/things")).text, "404 page not found\n");
  assert.equal((await server.call("GET", "/apis/none.test/v1")).status, 404);
  assert.equal((await server.call("GET", "/apis/apps/v2/deployments")).status, 404);
  refused(await server.call("POST", `${CONFIG_MAPS}/a`, { body: {} }), 405, "MethodNotAllowed", /not supported/);
  refused(await server.call("GET", "/apis/authentication.k8s.io/v1/tokenreviews"), 405, "MethodNotAllowed", /not supported/);
});

test("what every object of a kind has, and this one has not", async () => {
  refused(
    await server.call("POST", PODS, { body: { metadata: { name: "bare" }, spec: {} } }),
    422,
    "Invalid",
    /spec\.containers: Required value/,
  );
  const unnamed = await server.call("POST", PODS, { body: pod("unnamed", { volumes: [{ emptyDir: {} }] }) });
  refused(unnamed, 422, "Invalid", /spec\.volumes\[0\]\.name: Required value/);
  const job = await server.call("POST", "/apis/batch/v1/namespaces/one/jobs", { body: { metadata: { name: "bare" }, spec: {} } });
  refused(job, 422, "Invalid", /spec\.template/);
});

test("the Service kubernetes and what is behind it are made again", async () => {
  const paths = [
    "/api/v1/namespaces/default/services/kubernetes",
    "/api/v1/namespaces/default/endpoints/kubernetes",
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
    "/apis/networking.k8s.io/v1/servicecidrs/kubernetes",
  ];
  for (const path of paths) {
    const before = await server.call("GET", path);
    assert.equal(before.status, 200, path);
    assert.equal((await server.call("DELETE", path)).status, 200, path);
    let again = await server.call("GET", path);
    for (let i = 0; i < 100 && again.status === 404; i++) again = await server.call("GET", path);
    assert.equal(again.status, 200, path);
    assert.notEqual(again.at("metadata.uid"), before.at("metadata.uid"));
    assert.deepEqual(again.at("spec.clusterIPs"), before.at("spec.clusterIPs"));
  }
});

test("the server's own ranges are the ServiceCIDR kubernetes, ready", async () => {
  const own = await server.call("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes/status");
  const service = await server.call("GET", "/api/v1/namespaces/default/services/kubernetes");
  assert.equal(own.at("spec.cidrs.length"), service.at("spec.clusterIPs.length"));
  assert.deepEqual([own.at("status.conditions.0.type"), own.at("status.conditions.0.status")], ["Ready", "True"]);
});

test("an object that nothing acts on comes with a warning", async () => {
  const policy = { metadata: { name: "deny" }, spec: { podSelector: {}, policyTypes: ["Ingress"] } };
  const enforced = await server.call("POST", "/apis/networking.k8s.io/v1/namespaces/one/networkpolicies", { body: policy });
  assert.deepEqual([enforced.status, enforced.headers["warning"]], [201, undefined]);
  const quota = { metadata: { name: "none" }, spec: { hard: { pods: "0" } } };
  const created = await server.call("POST", "/api/v1/namespaces/one/resourcequotas", { body: quota });
  assert.equal(created.status, 201);
  assert.match(created.headers["warning"] ?? "", /^299 - "ResourceQuota is stored, but not enforced/);
  const service = (type: string): object => ({ metadata: { name: type.toLowerCase() }, spec: { type, ports: [{ port: 80 }] } });
  const services = "/api/v1/namespaces/one/services";
  assert.match((await server.call("POST", services, { body: service("LoadBalancer") })).headers["warning"] ?? "", /type LoadBalancer/);
  assert.equal((await server.call("POST", services, { body: service("NodePort") })).headers["warning"], undefined);
});
