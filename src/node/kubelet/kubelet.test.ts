// The kubelet against an API and a runtime in memory.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { Event, Pod, PodSpec } from "kubernetes-types/core/v1";
import { silentLogger } from "#base";
import { createFakeClient, type FakeClient } from "#client/fake";
import { CONFIG_MAPS, CORE_EVENTS, LEASES, NODES, PODS, type Stored } from "#kube";
import { RuntimeError } from "#runtime";
import { type Kubelet, startKubelet } from "./index.ts";
import { FakeRuntime } from "./testing/fake-runtime.ts";

let dir: string;
let client: FakeClient;
let runtime: FakeRuntime;
let stop: AbortController;
let port = 21_000 + (process.pid % 1000) * 10;

beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/fairlead-kubelet-`);
  client = createFakeClient();
  runtime = new FakeRuntime();
  stop = new AbortController();
});

afterEach(() => {
  stop.abort();
  rmSync(dir, { recursive: true, force: true });
});

function start(networkReady?: Promise<void>): Kubelet {
  return startKubelet({
    client,
    runtime,
    nodeName: "node-1",
    nodeAddresses: ["127.0.0.1"],
    nodeLabels: { zone: "a" },
    clusterDns: ["10.96.0.10"],
    clusterDomain: "cluster.local",
    nodeRoot: dir,
    kubeletToken: "t",
    port: port++,
    ...(networkReady && { networkReady }),
    logger: silentLogger,
    signal: stop.signal,
  });
}

const KEY = { namespace: "default", name: "web" };

function podOf(spec: Partial<PodSpec> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...KEY },
    spec: { nodeName: "node-1", enableServiceLinks: false, containers: [{ name: "c", image: "agnhost" }], ...spec },
  };
}

async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  for (let i = 0; i < 1000; i++) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not within 5 s: ${what}`);
}

function podWhere(what: string, test_: (pod: Stored<Pod>) => boolean): Promise<Stored<Pod>> {
  return until(what, async () => {
    const pod = await client.get(PODS, KEY);
    return test_(pod) && pod;
  });
}

const isReady = (pod: Stored<Pod>): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
const waitingReason = (pod: Stored<Pod>, name = "c"): string | undefined =>
  pod.status?.containerStatuses?.find((status) => status.name === name)?.state?.waiting?.reason;

async function isGone(): Promise<boolean> {
  return (await client.list(PODS)).items.length === 0;
}

async function events(): Promise<string[]> {
  return (await client.list(CORE_EVENTS)).items.map(({ reason, message }: Event) => `${reason}: ${message}`);
}

describe("the node", () => {
  test("registers itself, renews its lease, and becomes ready with its network", async () => {
    const network = Promise.withResolvers<void>();
    const kubelet = start(network.promise);
    await kubelet.started;
    const node = await client.get(NODES, { name: "node-1" });
    assert.deepEqual(node.status?.addresses, [
      { type: "InternalIP", address: "127.0.0.1" },
      { type: "Hostname", address: "node-1" },
    ]);
    assert.equal(node.metadata.labels?.["kubernetes.io/hostname"], "node-1");
    assert.equal(node.metadata.labels?.["zone"], "a");
    assert.equal(node.status?.nodeInfo?.containerRuntimeVersion, "fake://0");
    assert.equal(node.status?.conditions?.find(({ type }) => type === "Ready")?.status, "False");
    await until("lease", () => client.get(LEASES, { namespace: "kube-node-lease", name: "node-1" }).catch(() => undefined));

    await client.create(PODS, podOf());
    await podWhere("waiting", (pod) => waitingReason(pod) === "ContainerCreating");
    assert.deepEqual(runtime.calls, []);
    network.resolve();
    await kubelet.ready;
    const ready = await client.get(NODES, { name: "node-1" });
    assert.equal(ready.status?.conditions?.find(({ type }) => type === "Ready")?.status, "True");
    await podWhere("ready", isReady);
  });

  test("takes over a Node object that is there", async () => {
    client.seed(NODES, { metadata: { name: "node-1", labels: { keep: "me" } }, spec: { podCIDR: "10.244.0.0/24" } });
    await start().ready;
    const node = await client.get(NODES, { name: "node-1" });
    assert.deepEqual([node.metadata.labels?.["keep"], node.metadata.labels?.["zone"], node.spec?.podCIDR], ["me", "a", "10.244.0.0/24"]);
    assert.equal(node.status?.conditions?.find(({ type }) => type === "Ready")?.status, "True");
  });
});

describe("a pod", () => {
  test("is started with one write of its status", async () => {
    await start().ready;
    await client.create(PODS, podOf());
    const { status } = await podWhere("ready", isReady);
    assert.equal(status?.phase, "Running");
    assert.equal(status?.podIP, "10.244.0.1");
    assert.equal(status?.hostIP, "127.0.0.1");
    assert.equal(status?.qosClass, "BestEffort");
    assert.deepEqual(
      status?.conditions?.map(({ type, status: value }) => `${type}=${value}`),
      ["PodReadyToStartContainers=True", "Initialized=True", "Ready=True", "ContainersReady=True", "PodScheduled=True"],
    );
    assert.match(status?.containerStatuses?.[0]?.containerID ?? "", /^fairlead:\/\/c/);
    assert.deepEqual(
      client.writes.filter((write) => write.includes("pods")),
      ["create pods default/web", "patch pods/status default/web"],
    );
    await until("events", async () => (await events()).length === 3);
    assert.deepEqual((await events()).sort(), [
      "Created: Created container: c",
      'Pulled: Successfully pulled image "agnhost" in 0ms',
      "Started: Started container c",
    ]);
    assert.match(readFileSync(`${dir}/pods/${(await client.get(PODS, KEY)).metadata.uid}/etc-hosts`, "utf8"), /10\.244\.0\.1\tweb\n$/);
  });

  test("init containers run one after the other before the rest", async () => {
    await start().ready;
    await client.create(PODS, podOf({ initContainers: [{ name: "i", image: "x" }], containers: [{ name: "c", image: "y" }] }));
    const pending = await podWhere("initializing", (pod) => pod.status?.initContainerStatuses?.[0]?.state?.running !== undefined);
    assert.equal(pending.status?.phase, "Pending");
    assert.equal(waitingReason(pending), "PodInitializing");
    assert.equal(pending.status?.conditions?.find(({ type }) => type === "Initialized")?.message, "containers with incomplete status: [i]");
    runtime.exit("i", 0);
    await podWhere("ready", isReady);
    assert.deepEqual(runtime.calls, ["sandbox web/0", "start i/0", "start c/0"]);
  });

  test("is started again when it ends, at once and then held back", async () => {
    await start().ready;
    await client.create(PODS, podOf());
    await podWhere("ready", isReady);
    runtime.exit("c", 1);
    const again = await podWhere("restarted", (pod) => isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1);
    assert.equal(again.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
    runtime.exit("c", 3);
    const held = await podWhere("held back", (pod) => waitingReason(pod) === "CrashLoopBackOff");
    assert.equal(held.status?.phase, "Running");
    assert.equal(held.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 3);
    assert.equal(isReady(held), false);
    await until("event", async () =>
      (await events()).some((event) => event.startsWith("BackOff: Back-off restarting failed container c in pod web_default")),
    );
  });

  test("that is never restarted ends Succeeded or Failed, with its last words", async () => {
    await start().ready;
    await client.create(PODS, podOf({ restartPolicy: "Never" }));
    const pod = await podWhere("ready", isReady);
    writeFileSync(`${dir}/pods/${pod.metadata.uid}/containers/c/0`, "bye\n");
    runtime.exit("c", 0);
    const { status } = await podWhere("done", (p) => p.status?.phase === "Succeeded");
    assert.equal(status?.containerStatuses?.[0]?.state?.terminated?.message, "bye");
    assert.equal(status?.conditions?.find(({ type }) => type === "Ready")?.reason, "PodCompleted");
    assert.equal([...runtime.sandboxes.values()][0]?.status.state, "notReady");
  });

  test("with an image that there is not says so, and is held back", async () => {
    await start().ready;
    await client.create(PODS, podOf({ containers: [{ name: "c", image: "missing" }] }));
    const pod = await podWhere("ErrImagePull", (p) => waitingReason(p) === "ErrImagePull");
    assert.match(pod.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "", /Failed to pull image "missing": there is no missing/);
    assert.equal(pod.status?.phase, "Pending");
    await podWhere("held back", (p) => waitingReason(p) === "ImagePullBackOff");
    await until("event", async () => (await events()).some((event) => event.startsWith("Failed: Failed to pull image")));
  });

  test("whose command cannot be run counts as crashed", async () => {
    await start().ready;
    runtime.startErrors.set("c", new RuntimeError("RunContainerError", 'exec: "x": executable file not found in $PATH'));
    await client.create(PODS, podOf());
    const pod = await podWhere("crashed", (p) => p.status?.containerStatuses?.[0]?.lastState?.terminated?.reason === "StartError");
    assert.equal(pod.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 128);
    await podWhere("held back", (p) => waitingReason(p) === "CrashLoopBackOff");
  });

  test("waits for a ConfigMap that it needs", async () => {
    await start().ready;
    const volumes = [{ name: "v", configMap: { name: "settings" } }];
    await client.create(
      PODS,
      podOf({ volumes, containers: [{ name: "c", image: "x", volumeMounts: [{ name: "v", mountPath: "/etc/app" }] }] }),
    );
    const pod = await podWhere("waiting", (p) => waitingReason(p) === "ContainerCreating");
    assert.equal(pod.status?.phase, "Pending");
    await client.create(CONFIG_MAPS, { metadata: { name: "settings", namespace: "default" }, data: { "a.conf": "one" } });
    await podWhere("ready", isReady);
    const volume = `${dir}/pods/${pod.metadata.uid}/volumes/kubernetes.io~configmap/v`;
    assert.equal(readFileSync(`${volume}/a.conf`, "utf8"), "one");
    assert.equal(runtime.find("c")?.config.mounts.find(({ containerPath }) => containerPath === "/etc/app")?.hostPath, volume);
    // What is mounted follows the object.
    const stored = await client.get(CONFIG_MAPS, { namespace: "default", name: "settings" });
    await client.update(CONFIG_MAPS, { ...stored, data: { "b.conf": "two" } });
    await until("new content", () => existsSync(`${volume}/b.conf`));
    assert.deepEqual(
      readdirSync(volume).filter((name) => !name.startsWith("..")),
      ["b.conf"],
    );
  });

  test("a variable of a ConfigMap that is missing holds the container back until it comes", async () => {
    await start().ready;
    const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "a" } } }];
    await client.create(PODS, podOf({ containers: [{ name: "c", image: "x", env }] }));
    await podWhere("error", (p) => waitingReason(p) === "CreateContainerConfigError");
    await client.create(CONFIG_MAPS, { metadata: { name: "settings", namespace: "default" }, data: { a: "1" } });
    await podWhere("ready", isReady);
    assert.equal(runtime.find("c")?.config.envs.find(({ key }) => key === "A")?.value, "1");
  });

  test("whose conditions others have changed puts them right", async () => {
    await start().ready;
    await client.create(PODS, podOf());
    const readyIs = (value: string) => (pod: Stored<Pod>) => pod.status?.conditions?.find((c) => c.type === "Ready")?.status === value;
    await podWhere("ready", readyIs("True"));
    const lost = [{ type: "Ready", status: "False", reason: "NodeNotReady" }];
    await client.patch(PODS, KEY, { type: "strategic", body: { status: { conditions: lost } } }, { subresource: "status" });
    await podWhere("ready again", readyIs("True"));
  });

  test("whose sandbox cannot be made is tried again", async () => {
    await start().ready;
    runtime.sandboxError = new RuntimeError("RunPodSandboxError", "Failed to create pod sandbox: no addresses left");
    await client.create(PODS, podOf());
    await until("event", async () =>
      (await events()).some((event) => event.startsWith("FailedCreatePodSandBox: Failed to create pod sandbox: no")),
    );
    runtime.sandboxError = undefined;
    await podWhere("ready", isReady);
  });

  test("gets a token of its service account", async () => {
    await start().ready;
    const volumes = [{ name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }];
    await client.create(PODS, podOf({ serviceAccountName: "sa", volumes }));
    const pod = await podWhere("ready", isReady);
    assert.equal(readFileSync(`${dir}/pods/${pod.metadata.uid}/volumes/kubernetes.io~projected/t/token`, "utf8"), "token-of-sa");
    assert.ok(client.writes.includes("create serviceaccounts/token default/sa"));
  });
});

describe("probes", () => {
  test("a pod is ready once its readiness probe succeeds, and is asked often at first", async () => {
    await start().ready;
    let answer = 1;
    runtime.onExec = () => ({ stdout: Buffer.from("no"), stderr: Buffer.alloc(0), exitCode: answer });
    await client.create(PODS, podOf({ containers: [{ name: "c", image: "x", readinessProbe: { exec: { command: ["ok"] } } }] }));
    const pod = await podWhere("running", (p) => p.status?.phase === "Running");
    assert.equal(isReady(pod), false);
    assert.equal(pod.status?.conditions?.find(({ type }) => type === "Ready")?.message, "containers with unready status: [c]");
    answer = 0;
    const begun = performance.now();
    await podWhere("ready", isReady);
    assert.ok(performance.now() - begun < 500);
    assert.equal(client.writes.filter((write) => write === "patch pods/status default/web").length, 2);
  });

  test("a container whose liveness probe fails is ended and started again", async () => {
    await start().ready;
    runtime.onExec = () => ({ stdout: Buffer.from("dead"), stderr: Buffer.alloc(0), exitCode: 1 });
    const livenessProbe = { exec: { command: ["ok"] }, periodSeconds: 0.02, failureThreshold: 2 };
    await client.create(PODS, podOf({ terminationGracePeriodSeconds: 7, containers: [{ name: "c", image: "x", livenessProbe }] }));
    await until("restart", () => runtime.calls.includes("start c/1"));
    assert.ok(runtime.calls.includes("stop c/0 7"));
    await until("events", async () => {
      const all = (await events()).join("\n");
      return (
        all.includes("Unhealthy: Liveness probe failed: dead") &&
        all.includes("Killing: Container c failed liveness probe, will be restarted")
      );
    });
  });
});

describe("the end of a pod", () => {
  test("deletion ends its containers within their time, reports, and removes it", async () => {
    await start().ready;
    await client.create(PODS, podOf({ terminationGracePeriodSeconds: 12 }));
    const pod = await podWhere("ready", isReady);
    await client.delete(PODS, KEY);
    await until("gone", isGone);
    assert.ok(runtime.calls.includes("stop c/0 12"), runtime.calls.join());
    assert.equal(runtime.sandboxes.size, 0);
    assert.deepEqual(client.writes.filter((write) => write.includes("pods")).slice(-2), [
      "patch pods/status default/web",
      "delete pods default/web",
    ]);
    await until("files", () => !existsSync(`${dir}/pods/${pod.metadata.uid}`));
  });

  test("a second deletion shortens the time of the first", async () => {
    await start().ready;
    runtime.deaf.add("c");
    await client.create(PODS, podOf());
    await podWhere("ready", isReady);
    await client.delete(PODS, KEY);
    await until("first", () => runtime.calls.includes("stop c/0 30"));
    await client.delete(PODS, KEY, { gracePeriodSeconds: 1 });
    await until("second", () => runtime.calls.includes("stop c/0 1"));
    runtime.exit("c", 137);
    await until("gone", isGone);
  });

  test("without an object there is nobody to report to", async () => {
    await start().ready;
    await client.create(PODS, podOf());
    await podWhere("ready", isReady);
    const writes = client.writes.length;
    await client.delete(PODS, KEY, { gracePeriodSeconds: 0 });
    await until("sandbox gone", () => runtime.sandboxes.size === 0);
    assert.deepEqual(
      client.writes.slice(writes).filter((write) => write.includes("pods")),
      ["delete pods default/web"],
    );
  });

  test("preStop comes before SIGTERM and takes of its time", async () => {
    await start().ready;
    const commands: string[] = [];
    runtime.onExec = (_, command) => {
      commands.push(command.join(" "));
      assert.ok(!runtime.calls.some((call) => call.startsWith("stop")));
      return { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: 0 };
    };
    const lifecycle = { preStop: { exec: { command: ["say", "bye"] } }, postStart: { exec: { command: ["say", "hi"] } } };
    await client.create(PODS, podOf({ containers: [{ name: "c", image: "x", lifecycle }] }));
    await podWhere("ready", isReady);
    await client.delete(PODS, KEY);
    await until("gone", isGone);
    assert.deepEqual(commands, ["say hi", "say bye"]);
  });

  test("pods that vanished while nobody looked are removed", async () => {
    await runtime.runPodSandbox({
      metadata: { name: "old", uid: "old-uid", namespace: "default", attempt: 0 },
      hostname: "old",
      logDirectory: "",
      dnsConfig: { servers: [], searches: [], options: [] },
      namespaces: { network: "pod", pid: "container", ipc: "pod" },
      labels: {},
      annotations: {},
    });
    await start().ready;
    await until("gone", () => runtime.sandboxes.size === 0);
  });
});

test("a new agent goes on with the pods that run: nothing is started or ended again", async () => {
  await start().ready;
  const readinessProbe = { exec: { command: ["ok"] } };
  await client.create(PODS, podOf({ containers: [{ name: "c", image: "x", readinessProbe }] }));
  const before = await podWhere("ready", isReady);
  stop.abort();
  stop = new AbortController();
  const calls = [...runtime.calls];
  const writes = client.writes.length;
  runtime.onExec = () => {
    throw new Error("not answered yet");
  };
  await start().ready;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(runtime.calls, calls);
  assert.deepEqual((await client.get(PODS, KEY)).status, before.status);
  assert.ok(!client.writes.slice(writes).some((write) => write.includes("pods")), client.writes.slice(writes).join());
  runtime.exit("c", 1);
  await until("restart", () => runtime.calls.includes("start c/1"));
});
