// Controllers and scheduler against the API server itself, without nodes: what `kubectl` would see of them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Deployment } from "kubernetes-types/apps/v1";
import type { Pod } from "kubernetes-types/core/v1";
import { formatTime, silentLogger, systemClock } from "#base";
import { createEventRecorder, createHttpClient, type HttpClient, type Informer } from "#client";
import { createInformers, type Informers, makePools, startControllers } from "#controllers";
import { parsePrefix } from "#ip";
import { CORE_EVENTS, DEPLOYMENTS, type KubeObject, NAMESPACES, NODES, PODS, SERVICES, type Stored } from "#kube";
import { startScheduler } from "#scheduler";
import { makeKeys, startTestServer, type TestServer } from "../../control/apiserver/testing.ts";

const abort = new AbortController();
let server: TestServer;
let client: HttpClient;
let informers: Informers;

before(async () => {
  const keys = await makeKeys();
  server = await startTestServer(keys);
  client = createHttpClient({ server: `https://127.0.0.1:${server.port}`, ca: keys.ca, token: keys.token });
  const { signal } = abort;
  informers = createInformers(client, { logger: silentLogger, signal });
  const recorder = (component: string) => createEventRecorder(client, { component, delayMs: 1 });
  const shared = { client, clock: systemClock, logger: silentLogger, signal };
  const pools = makePools([parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")], [24, 64]);
  await Promise.all([
    startControllers({ ...shared, informers, recorder }, { pools, rootCa: keys.ca }),
    startScheduler({ ...shared, pods: informers.pods, nodes: informers.nodes, recorder: recorder("default-scheduler") }),
  ]);
  for (const name of ["node-1", "node-2", "node-3"]) await addNode(name);
});

after(async () => {
  abort.abort();
  client.close();
  await server.close();
});

async function addNode(name: string): Promise<void> {
  await client.create(NODES, { metadata: { name, labels: { "kubernetes.io/hostname": name } } });
  const now = formatTime(Date.now());
  const conditions = [
    { type: "Ready", status: "True", reason: "KubeletReady", message: "", lastHeartbeatTime: now, lastTransitionTime: now },
  ];
  const status = { allocatable: { cpu: "4", memory: "8Gi", pods: "110" }, conditions };
  await client.patch(NODES, { name }, { type: "merge", body: { status } }, { subresource: "status" });
}

function deployment(namespace: string, name: string, replicas: number): Deployment {
  const labels = { app: name };
  const template = {
    metadata: { labels },
    spec: { containers: [{ name: "c", image: "agnhost:1", ports: [{ name: "http", containerPort: 8080 }] }] },
  };
  return { metadata: { namespace, name }, spec: { replicas, selector: { matchLabels: labels }, template } };
}

/** Resolves when the condition holds, looked at after each change of the informer. */
function until<T extends KubeObject>(informer: Informer<T>, condition: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`did not happen within 5 s: ${condition.toString()}`)), 5000);
    informer.subscribe(() => {
      if (!condition()) return;
      clearTimeout(timer);
      resolve();
    });
    if (condition()) resolve();
  });
}

function podsOf(namespace: string): Stored<Pod>[] {
  return informers.pods.list(namespace);
}

/** What kubelets would do: every pod of the namespace that has a node runs and is ready; every one that is to end ends. */
function actAsKubelets(namespace: string): void {
  informers.pods.subscribe(({ type, object }) => {
    if (type !== "set" || object.metadata.namespace !== namespace || object.spec?.nodeName === undefined) return;
    void act(object).catch(() => undefined);
  });
}

async function act(pod: Stored<Pod>): Promise<void> {
  if (pod.metadata.deletionTimestamp !== undefined) {
    await client.delete(PODS, pod.metadata, { gracePeriodSeconds: 0, uid: pod.metadata.uid });
    return;
  }
  if (pod.status?.phase === "Running") return;
  const ip = `10.244.0.${(Number(pod.metadata.resourceVersion) % 250) + 1}`;
  const conditions = [{ type: "Ready", status: "True", lastTransitionTime: formatTime(Date.now()) }];
  const status = { phase: "Running", podIP: ip, podIPs: [{ ip }], conditions };
  await client.patch(PODS, pod.metadata, { type: "merge", body: { status } }, { subresource: "status" });
}

async function namespace(name: string): Promise<string> {
  await client.create(NAMESPACES, { metadata: { name } });
  return name;
}

function byText(a: string | undefined, b: string | undefined): number {
  return String(a).localeCompare(String(b));
}

test("nodes get a block of both families", async () => {
  await until(informers.nodes, () => informers.nodes.list().every((node) => node.spec?.podCIDRs?.length === 2));
  const blocks = Object.fromEntries(informers.nodes.list().map((node) => [node.metadata.name, node.spec?.podCIDRs?.join()]));
  assert.equal(blocks["node-2"], "10.244.2.0/24,fd00:10:244:2::/64");
});

test("from a Deployment to pods on nodes, spread, and how long that takes", async (t) => {
  const ns = await namespace("chain");
  const startMs = performance.now();
  await client.create(DEPLOYMENTS, deployment(ns, "web", 3));
  await until(informers.pods, () => podsOf(ns).filter((pod) => pod.spec?.nodeName !== undefined).length === 3);
  t.diagnostic(`${(performance.now() - startMs).toFixed(1)} ms from the create to the last of three pods bound`);
  assert.deepEqual(
    podsOf(ns)
      .map((pod) => pod.spec?.nodeName)
      .sort(byText),
    ["node-1", "node-2", "node-3"],
  );
});

test("a rollout to its end, its endpoints, an undo, and a foreground deletion that leaves nothing", async () => {
  const ns = await namespace("rollout");
  actAsKubelets(ns);
  await client.create(SERVICES, {
    metadata: { namespace: ns, name: "web" },
    spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] },
  });
  await client.create(DEPLOYMENTS, deployment(ns, "web", 4));
  const current = () => informers.deployments.get(`${ns}/web`);
  const isDone = (generation: number) => {
    const { status, metadata } = current() ?? {};
    const progressing = status?.conditions?.find((condition) => condition.type === "Progressing");
    const isObserved = metadata?.generation === generation && status?.observedGeneration === generation;
    return (
      isObserved &&
      status?.updatedReplicas === 4 &&
      status.availableReplicas === 4 &&
      status.replicas === 4 &&
      progressing?.reason === "NewReplicaSetAvailable"
    );
  };
  await until(informers.deployments, () => isDone(1));
  const endpoints = () => informers.endpointSlices.list(ns).flatMap((slice) => (slice.addressType === "IPv4" ? slice.endpoints : []));
  await until(informers.endpointSlices, () => endpoints().filter((endpoint) => endpoint.conditions?.ready === true).length === 4);
  await until(informers.endpoints, () => informers.endpoints.get(`${ns}/web`)?.subsets?.[0]?.addresses?.length === 4);

  const setImage = (image: string) => {
    const body = { spec: { template: { spec: { containers: [{ name: "c", image }] } } } };
    return client.patch(DEPLOYMENTS, { namespace: ns, name: "web" }, { type: "strategic", body });
  };
  await setImage("agnhost:2");
  await until(informers.deployments, () => isDone(2));
  await setImage("agnhost:1");
  await until(informers.deployments, () => isDone(3));
  const revisions = informers.replicaSets
    .list(ns)
    .map((rs) => `${rs.metadata.annotations?.["deployment.kubernetes.io/revision"]}: ${rs.spec?.replicas}`);
  assert.deepEqual(revisions.sort(byText), ["2: 0", "3: 4"]);

  await client.delete(DEPLOYMENTS, { namespace: ns, name: "web" }, { propagationPolicy: "Foreground" });
  await until(informers.deployments, () => current() === undefined);
  assert.deepEqual(informers.replicaSets.list(ns).length, 0);
  const reasons = async () => new Set((await client.list(CORE_EVENTS, { namespace: ns })).items.map((event) => event.reason));
  const seen = await reasons();
  for (const reason of ["ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "Scheduled"])
    assert.ok(seen.has(reason), `no event ${reason}`);
});

test("a namespace has its account and CA, and goes with everything in it", async () => {
  const ns = await namespace("short-lived");
  actAsKubelets(ns);
  await until(informers.serviceAccounts, () => informers.serviceAccounts.get(`${ns}/default`) !== undefined);
  await until(informers.rootCas, () => informers.rootCas.get(`${ns}/kube-root-ca.crt`) !== undefined);
  await client.create(DEPLOYMENTS, deployment(ns, "web", 2));
  await client.create(SERVICES, { metadata: { namespace: ns, name: "web" }, spec: { selector: { app: "web" }, ports: [{ port: 80 }] } });
  await until(informers.pods, () => podsOf(ns).filter((pod) => pod.status?.phase === "Running").length === 2);
  await client.delete(NAMESPACES, { name: ns });
  await until(informers.namespaces, () => informers.namespaces.get(ns) === undefined);
  assert.deepEqual(podsOf(ns), []);
});

test("a pod that no node can take says why", async () => {
  const ns = await namespace("picky");
  await client.create(PODS, {
    metadata: { namespace: ns, name: "p" },
    spec: { nodeSelector: { disk: "ssd" }, containers: [{ name: "c", image: "i" }] },
  });
  const condition = () => informers.pods.get(`${ns}/p`)?.status?.conditions?.find((c) => c.type === "PodScheduled");
  await until(informers.pods, () => condition()?.reason === "Unschedulable");
  assert.equal(condition()?.message, "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.");
  await client.patch(NODES, { name: "node-3" }, { type: "merge", body: { metadata: { labels: { disk: "ssd" } } } });
  await until(informers.pods, () => informers.pods.get(`${ns}/p`)?.spec?.nodeName === "node-3");
});
