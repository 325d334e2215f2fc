// What an applied configuration leaves for something else goes whole: nothing empty, no default of it stays beside what came instead.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Answer, makeKeys, startTestServer, type TestServer } from "../testing.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer(await makeKeys());
});
after(() => server.close());

const CLUSTER_POLICIES = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
const POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";

function apply(path: string, config: object, manager = "me"): Promise<Answer> {
  const headers = { "content-type": "application/apply-patch+yaml" };
  const name = path.split("/").at(-1);
  return server.call("PATCH", `${path}?fieldManager=${manager}`, { raw: JSON.stringify({ ...config, metadata: { name } }), headers });
}

async function applied(path: string, config: object, manager?: string): Promise<Answer> {
  const answer = await apply(path, config, manager);
  assert.ok(answer.status < 300, answer.text);
  return answer;
}

test("the subject and the peers of a ClusterNetworkPolicy", async () => {
  const policy = (peer: object): object => ({
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    spec: { tier: "Admin", priority: 1, subject: peer, ingress: [{ name: "a", action: "Deny", from: [peer] }] },
  });
  const pods = { pods: { namespaceSelector: {}, podSelector: {} } };
  const labelled = { pods: { namespaceSelector: { matchLabels: { a: "b" } }, podSelector: {} } };
  for (const peer of [pods, { namespaces: {} }, labelled, pods, { namespaces: { matchLabels: { a: "b" } } }, { namespaces: {} }]) {
    const answer = await applied(`${CLUSTER_POLICIES}/p`, policy(peer));
    assert.deepEqual([answer.at("spec.subject"), answer.at("spec.ingress.0.from")], [peer, [peer]]);
  }
});

test("the peers of a NetworkPolicy", async () => {
  const policy = (peer: object): object => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    spec: { podSelector: {}, ingress: [{ from: [peer] }] },
  });
  for (const peer of [{ podSelector: {} }, { ipBlock: { cidr: "10.0.0.0/8" } }, { namespaceSelector: {} }]) {
    assert.deepEqual((await applied(`${POLICIES}/p`, policy(peer))).at("spec.ingress.0.from"), [peer]);
  }
});

test("a probe's handler, with its defaults", async () => {
  const deployment = (probe: object): object => {
    const labels = { app: "w" };
    const spec = { containers: [{ name: "main", image: "a", readinessProbe: probe }] };
    return {
      apiVersion: "apps/v1",
      kind: "Deployment",
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    };
  };
  const path = "/apis/apps/v1/namespaces/default/deployments/w";
  const place = "spec.template.spec.containers.0.readinessProbe";
  const http = await applied(path, deployment({ httpGet: { path: "/", port: 80 }, periodSeconds: 3 }));
  assert.equal(http.at(`${place}.httpGet.scheme`), "HTTP");
  const exec = await applied(path, deployment({ exec: { command: ["true"] } }));
  assert.deepEqual([exec.at(`${place}.httpGet`), exec.at(`${place}.exec`)], [undefined, { command: ["true"] }]);
  const tcp = await applied(path, deployment({ tcpSocket: { port: 80 } }));
  assert.deepEqual([tcp.at(`${place}.exec`), tcp.at(`${place}.tcpSocket`)], [undefined, { port: 80 }]);
});

test("a volume's source, with its defaults; a source that is wanted empty stays", async () => {
  const template = (volume: object): object => {
    const labels = { app: "v" };
    const spec = { containers: [{ name: "main", image: "a" }], volumes: [{ name: "v", ...volume }] };
    return {
      apiVersion: "apps/v1",
      kind: "Deployment",
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    };
  };
  const path = "/apis/apps/v1/namespaces/default/deployments/v";
  for (const volume of [
    { configMap: { name: "c", defaultMode: 0o600 } },
    { emptyDir: { medium: "Memory" } },
    { emptyDir: {} },
    { secret: { secretName: "s", defaultMode: 0o600 } },
    { hostPath: { path: "/x", type: "" } },
  ]) {
    assert.deepEqual((await applied(path, template(volume))).at("spec.template.spec.volumes"), [{ name: "v", ...volume }]);
  }
  await applied(path, template({ configMap: { name: "c" } }));
  const last = await applied(path, template({ emptyDir: {} }));
  assert.deepEqual(last.at("spec.template.spec.volumes"), [{ name: "v", emptyDir: {} }]);
});

test("what another owns a part of stays, with that part", async () => {
  const path = "/api/v1/namespaces/default/configmaps/q";
  const map = (data?: object): object => ({ apiVersion: "v1", kind: "ConfigMap", ...(data === undefined ? {} : { data }) });
  await applied(path, map({ x: "1" }));
  await applied(path, map({ y: "1" }), "you");
  const less = await applied(path, map());
  assert.deepEqual([less.at("data"), less.at("metadata.name")], [{ y: "1" }, "q"]);
  const none = await applied(path, map(), "you");
  assert.deepEqual([none.at("data"), none.at("metadata.namespace")], [undefined, "default"]);
});

test("labels that are left take nothing else of metadata along", async () => {
  const path = "/api/v1/namespaces/default/configmaps/labels";
  const headers = { "content-type": "application/apply-patch+yaml" };
  const put = (metadata: object): Promise<Answer> =>
    server.call("PATCH", `${path}?fieldManager=me`, {
      raw: JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "labels", ...metadata } }),
      headers,
    });
  const labelled = await put({ labels: { a: "b" } });
  const bare = await put({});
  assert.deepEqual([bare.at("metadata.labels"), bare.at("metadata.uid")], [undefined, labelled.at("metadata.uid")]);
});
