// The kubelet against an API and a runtime in memory.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { Event, Pod } from "kubernetes-types/core/v1";
import { CONFIG_MAPS, CORE_EVENTS, LEASES, NODES, PODS, type Stored } from "#kube";
import { RuntimeError } from "#runtime";
import { isReady, KEY, podOf, until, useKubelet, waitingReason } from "./testing/fixture.ts";

const kubelet = useKubelet();

describe("the node", () => {
  test("registers itself, renews its lease, and becomes ready with its network", async () => {
    const network = Promise.withResolvers<void>();
    const running = kubelet.start(network.promise);
    await running.started;
    const node = await kubelet.client.get(NODES, { name: "node-1" });
    assert.deepEqual(node.status?.addresses, [
      { type: "InternalIP", address: "127.0.0.1" },
      { type: "Hostname", address: "node-1" },
    ]);
    assert.equal(node.metadata.labels?.["kubernetes.io/hostname"], "node-1");
    assert.equal(node.metadata.labels?.["zone"], "a");
    assert.equal(node.status?.nodeInfo?.containerRuntimeVersion, "fake://0");
    assert.equal(node.status?.conditions?.find(({ type }) => type === "Ready")?.status, "False");
    await until("lease", () => kubelet.client.get(LEASES, { namespace: "kube-node-lease", name: "node-1" }).catch(() => undefined));

    await kubelet.client.create(PODS, podOf());
    await kubelet.podWhere("waiting", (pod) => waitingReason(pod) === "ContainerCreating");
    assert.deepEqual(kubelet.runtime.calls, []);
    network.resolve();
    await running.ready;
    const ready = await kubelet.client.get(NODES, { name: "node-1" });
    assert.equal(ready.status?.conditions?.find(({ type }) => type === "Ready")?.status, "True");
    await kubelet.podWhere("ready", isReady);
  });

  test("takes over a Node object that is there", async () => {
    kubelet.client.seed(NODES, { metadata: { name: "node-1", labels: { keep: "me" } }, spec: { podCIDR: "10.244.0.0/24" } });
    await kubelet.start().ready;
    const node = await kubelet.client.get(NODES, { name: "node-1" });
    assert.deepEqual([node.metadata.labels?.["keep"], node.metadata.labels?.["zone"], node.spec?.podCIDR], ["me", "a", "10.244.0.0/24"]);
    assert.equal(node.status?.conditions?.find(({ type }) => type === "Ready")?.status, "True");
  });
});

describe("a pod", () => {
  test("is started with one write of its status", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf());
    const { status } = await kubelet.podWhere("ready", isReady);
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
      kubelet.client.writes.filter((write) => write.includes("pods")),
      ["create pods default/web", "patch pods/status default/web"],
    );
    await until("events", async () => (await kubelet.events()).length === 3);
    assert.deepEqual((await kubelet.events()).sort(), [
      "Created: Created container: c",
      'Pulled: Successfully pulled image "agnhost" in 0ms',
      "Started: Started container c",
    ]);
    assert.match(
      readFileSync(`${kubelet.dir}/pods/${(await kubelet.client.get(PODS, KEY)).metadata.uid}/etc-hosts`, "utf8"),
      /10\.244\.0\.1\tweb\n$/,
    );
  });

  test("init containers run one after the other before the rest", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf({ initContainers: [{ name: "i", image: "x" }], containers: [{ name: "c", image: "y" }] }));
    const pending = await kubelet.podWhere("initializing", (pod) => pod.status?.initContainerStatuses?.[0]?.state?.running !== undefined);
    assert.equal(pending.status?.phase, "Pending");
    assert.equal(waitingReason(pending), "PodInitializing");
    assert.equal(pending.status?.conditions?.find(({ type }) => type === "Initialized")?.message, "containers with incomplete status: [i]");
    kubelet.runtime.exit("i", 0);
    await kubelet.podWhere("ready", isReady);
    assert.deepEqual(kubelet.runtime.calls, ["sandbox web/0", "start i/0", "start c/0"]);
  });

  test("is started again when it ends, at once and then held back", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf());
    await kubelet.podWhere("ready", isReady);
    kubelet.runtime.exit("c", 1);
    const again = await kubelet.podWhere("restarted", (pod) => isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1);
    assert.equal(again.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
    kubelet.runtime.exit("c", 3);
    const held = await kubelet.podWhere("held back", (pod) => waitingReason(pod) === "CrashLoopBackOff");
    assert.equal(held.status?.phase, "Running");
    assert.equal(held.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 3);
    assert.equal(isReady(held), false);
    await until("event", async () =>
      (await kubelet.events()).some((event) => event.startsWith("BackOff: Back-off restarting failed container c in pod web_default")),
    );
  });

  test("that is never restarted ends Succeeded or Failed, with its last words", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf({ restartPolicy: "Never" }));
    const pod = await kubelet.podWhere("ready", isReady);
    writeFileSync(`${kubelet.dir}/pods/${pod.metadata.uid}/containers/c/0`, "bye\n");
    kubelet.runtime.exit("c", 0);
    const { status } = await kubelet.podWhere("done", (p) => p.status?.phase === "Succeeded");
    assert.equal(status?.containerStatuses?.[0]?.state?.terminated?.message, "bye");
    assert.equal(status?.conditions?.find(({ type }) => type === "Ready")?.reason, "PodCompleted");
    assert.equal([...kubelet.runtime.sandboxes.values()][0]?.status.state, "notReady");
  });

  test("with an image that there is not says so, and is held back", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf({ containers: [{ name: "c", image: "missing" }] }));
    const pod = await kubelet.podWhere("ErrImagePull", (p) => waitingReason(p) === "ErrImagePull");
    assert.match(pod.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "", /Failed to pull image "missing": there is no missing/);
    assert.equal(pod.status?.phase, "Pending");
    await kubelet.podWhere("held back", (p) => waitingReason(p) === "ImagePullBackOff");
    await until("event", async () => (await kubelet.events()).some((event) => event.startsWith("Failed: Failed to pull image")));
  });

  test("whose command cannot be run counts as crashed", async () => {
    await kubelet.start().ready;
    kubelet.runtime.startErrors.set("c", new RuntimeError("RunContainerError", 'exec: "x": executable file not found in $PATH'));
    await kubelet.client.create(PODS, podOf());
    const pod = await kubelet.podWhere("crashed", (p) => p.status?.containerStatuses?.[0]?.lastState?.terminated?.reason === "StartError");
    assert.equal(pod.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 128);
    await kubelet.podWhere("held back", (p) => waitingReason(p) === "CrashLoopBackOff");
  });

  test("waits for a ConfigMap that it needs", async () => {
    await kubelet.start().ready;
    const volumes = [{ name: "v", configMap: { name: "settings" } }];
    await kubelet.client.create(
      PODS,
      podOf({ volumes, containers: [{ name: "c", image: "x", volumeMounts: [{ name: "v", mountPath: "/etc/app" }] }] }),
    );
    const pod = await kubelet.podWhere("waiting", (p) => waitingReason(p) === "ContainerCreating");
    assert.equal(pod.status?.phase, "Pending");
    await kubelet.client.create(CONFIG_MAPS, { metadata: { name: "settings", namespace: "default" }, data: { "a.conf": "one" } });
    await kubelet.podWhere("ready", isReady);
    const volume = `${kubelet.dir}/pods/${pod.metadata.uid}/volumes/kubernetes.io~configmap/v`;
    assert.equal(readFileSync(`${volume}/a.conf`, "utf8"), "one");
    assert.equal(kubelet.runtime.find("c")?.config.mounts.find(({ containerPath }) => containerPath === "/etc/app")?.hostPath, volume);
    // What is mounted follows the object.
    const stored = await kubelet.client.get(CONFIG_MAPS, { namespace: "default", name: "settings" });
    await kubelet.client.update(CONFIG_MAPS, { ...stored, data: { "b.conf": "two" } });
    await until("new content", () => existsSync(`${volume}/b.conf`));
    assert.deepEqual(
      readdirSync(volume).filter((name) => !name.startsWith("..")),
      ["b.conf"],
    );
  });

  test("a variable of a ConfigMap that is missing holds the container back until it comes", async () => {
    await kubelet.start().ready;
    const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "a" } } }];
    await kubelet.client.create(PODS, podOf({ containers: [{ name: "c", image: "x", env }] }));
    await kubelet.podWhere("error", (p) => waitingReason(p) === "CreateContainerConfigError");
    await kubelet.client.create(CONFIG_MAPS, { metadata: { name: "settings", namespace: "default" }, data: { a: "1" } });
    await kubelet.podWhere("ready", isReady);
    assert.equal(kubelet.runtime.find("c")?.config.envs.find(({ key }) => key === "A")?.value, "1");
  });

  test("whose conditions others have changed puts them right", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf());
    const readyIs = (value: string) => (pod: Stored<Pod>) => pod.status?.conditions?.find((c) => c.type === "Ready")?.status === value;
    await kubelet.podWhere("ready", readyIs("True"));
    const lost = [{ type: "Ready", status: "False", reason: "NodeNotReady" }];
    await kubelet.client.patch(PODS, KEY, { type: "strategic", body: { status: { conditions: lost } } }, { subresource: "status" });
    await kubelet.podWhere("ready again", readyIs("True"));
  });

  test("whose sandbox cannot be made is tried again", async () => {
    await kubelet.start().ready;
    kubelet.runtime.sandboxError = new RuntimeError("RunPodSandboxError", "Failed to create pod sandbox: no addresses left");
    await kubelet.client.create(PODS, podOf());
    await until("event", async () =>
      (await kubelet.events()).some((event) => event.startsWith("FailedCreatePodSandBox: Failed to create pod sandbox: no")),
    );
    kubelet.runtime.sandboxError = undefined;
    await kubelet.podWhere("ready", isReady);
  });

  test("gets a token of its service account", async () => {
    await kubelet.start().ready;
    const volumes = [{ name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }];
    await kubelet.client.create(PODS, podOf({ serviceAccountName: "sa", volumes }));
    const pod = await kubelet.podWhere("ready", isReady);
    assert.equal(readFileSync(`${kubelet.dir}/pods/${pod.metadata.uid}/volumes/kubernetes.io~projected/t/token`, "utf8"), "token-of-sa");
    assert.ok(kubelet.client.writes.includes("create serviceaccounts/token default/sa"));
  });
});

describe("an ephemeral container", () => {
  const add = async (container: object): Promise<void> => {
    const body = { spec: { ephemeralContainers: [{ image: "toolbox", ...container }] } };
    await kubelet.client.patch(PODS, KEY, { type: "strategic", body });
  };

  test("is started beside the others, sees the processes of its target, and is ended with the pod", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf());
    await kubelet.podWhere("ready", isReady);
    await add({ name: "debug", targetContainerName: "c" });
    const state = (pod: Stored<Pod>) => pod.status?.ephemeralContainerStatuses?.[0]?.state;
    const pod = await kubelet.podWhere("running", (p) => state(p)?.running !== undefined);
    assert.ok(isReady(pod));
    assert.equal(kubelet.runtime.find("debug")?.config.pidTargetId, kubelet.runtime.find("c")?.status.id);
    await until("event", async () => (await kubelet.client.list(CORE_EVENTS)).items.some(isStartOfDebug));
    await kubelet.client.delete(PODS, KEY);
    await until("gone", () => kubelet.isGone());
    assert.ok(kubelet.runtime.calls.some((call) => call.startsWith("stop debug/0")));
  });

  test("that has ended is not started again, also by a new agent", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf());
    await kubelet.podWhere("ready", isReady);
    await add({ name: "debug" });
    await until("start", () => kubelet.runtime.calls.includes("start debug/0"));
    kubelet.runtime.exit("debug", 3);
    await kubelet.podWhere("ended", (p) => p.status?.ephemeralContainerStatuses?.[0]?.state?.terminated?.exitCode === 3);
    kubelet.kill();
    await kubelet.start().ready;
    kubelet.runtime.exit("c", 1);
    await until("restart", () => kubelet.runtime.calls.includes("start c/1"));
    assert.equal(kubelet.runtime.calls.filter((call) => call.startsWith("start debug")).length, 1);
  });
});

const isStartOfDebug = ({ reason, involvedObject }: Event): boolean =>
  reason === "Started" && involvedObject.fieldPath === "spec.ephemeralContainers{debug}";

describe("probes", () => {
  test("a pod is ready once its readiness probe succeeds, and is asked often at first", async () => {
    await kubelet.start().ready;
    let answer = 1;
    kubelet.runtime.onExec = () => ({ stdout: Buffer.from("no"), stderr: Buffer.alloc(0), exitCode: answer });
    await kubelet.client.create(PODS, podOf({ containers: [{ name: "c", image: "x", readinessProbe: { exec: { command: ["ok"] } } }] }));
    const pod = await kubelet.podWhere("running", (p) => p.status?.phase === "Running");
    assert.equal(isReady(pod), false);
    assert.equal(pod.status?.conditions?.find(({ type }) => type === "Ready")?.message, "containers with unready status: [c]");
    answer = 0;
    const begun = performance.now();
    await kubelet.podWhere("ready", isReady);
    assert.ok(performance.now() - begun < 500);
    assert.equal(kubelet.client.writes.filter((write) => write === "patch pods/status default/web").length, 2);
  });

  test("a container whose liveness probe fails is ended and started again", async () => {
    await kubelet.start().ready;
    kubelet.runtime.onExec = () => ({ stdout: Buffer.from("dead"), stderr: Buffer.alloc(0), exitCode: 1 });
    const livenessProbe = { exec: { command: ["ok"] }, periodSeconds: 0.02, failureThreshold: 2 };
    await kubelet.client.create(PODS, podOf({ terminationGracePeriodSeconds: 7, containers: [{ name: "c", image: "x", livenessProbe }] }));
    await until("restart", () => kubelet.runtime.calls.includes("start c/1"));
    assert.ok(kubelet.runtime.calls.includes("stop c/0 7"));
    await until("events", async () => {
      const all = (await kubelet.events()).join("\n");
      return (
        all.includes("Unhealthy: Liveness probe failed: dead") &&
        all.includes("Killing: Container c failed liveness probe, will be restarted")
      );
    });
  });
});

describe("the end of a pod", () => {
  test("deletion ends its containers within their time, reports, and removes it", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf({ terminationGracePeriodSeconds: 12 }));
    const pod = await kubelet.podWhere("ready", isReady);
    await kubelet.client.delete(PODS, KEY);
    await until("gone", () => kubelet.isGone());
    assert.ok(kubelet.runtime.calls.includes("stop c/0 12"), kubelet.runtime.calls.join());
    assert.equal(kubelet.runtime.sandboxes.size, 0);
    assert.deepEqual(kubelet.client.writes.filter((write) => write.includes("pods")).slice(-2), [
      "patch pods/status default/web",
      "delete pods default/web",
    ]);
    await until("files", () => !existsSync(`${kubelet.dir}/pods/${pod.metadata.uid}`));
  });

  test("readiness is asked and reported while it ends", async () => {
    await kubelet.start().ready;
    kubelet.runtime.deaf.add("c");
    const readinessProbe = { exec: { command: ["ok"] }, periodSeconds: 0.02, failureThreshold: 1 };
    await kubelet.client.create(PODS, podOf({ containers: [{ name: "c", image: "x", readinessProbe }] }));
    await kubelet.podWhere("ready", isReady);
    await kubelet.client.delete(PODS, KEY);
    await until("SIGTERM", () => kubelet.runtime.calls.includes("stop c/0 30"));
    assert.equal(isReady(await kubelet.client.get(PODS, KEY)), true, "it serves still");
    kubelet.runtime.onExec = () => ({ stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: 1 });
    const ending = await kubelet.podWhere("not ready", (pod) => !isReady(pod));
    assert.equal(ending.status?.phase, "Running");
    assert.equal(kubelet.runtime.calls.filter((call) => call.startsWith("stop")).length, 1);
    kubelet.runtime.exit("c", 0);
    await until("gone", () => kubelet.isGone());
  });

  test("that nobody answers any more is said before the address goes", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf());
    await kubelet.podWhere("ready", isReady);
    const stopped = Promise.withResolvers<void>();
    kubelet.runtime.beforeSandboxStops = stopped.promise;
    await kubelet.client.delete(PODS, KEY);
    await kubelet.podWhere("not ready", (pod) => !isReady(pod));
    assert.equal([...kubelet.runtime.sandboxes.values()][0]?.status.state, "ready");
    stopped.resolve();
    await until("gone", () => kubelet.isGone());
  });

  test("a second deletion shortens the time of the first", async () => {
    await kubelet.start().ready;
    kubelet.runtime.deaf.add("c");
    await kubelet.client.create(PODS, podOf());
    await kubelet.podWhere("ready", isReady);
    await kubelet.client.delete(PODS, KEY);
    await until("first", () => kubelet.runtime.calls.includes("stop c/0 30"));
    await kubelet.client.delete(PODS, KEY, { gracePeriodSeconds: 1 });
    await until("second", () => kubelet.runtime.calls.includes("stop c/0 1"));
    kubelet.runtime.exit("c", 137);
    await until("gone", () => kubelet.isGone());
  });

  test("without an object there is nobody to report to", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf());
    await kubelet.podWhere("ready", isReady);
    const writes = kubelet.client.writes.length;
    await kubelet.client.delete(PODS, KEY, { gracePeriodSeconds: 0 });
    await until("sandbox gone", () => kubelet.runtime.sandboxes.size === 0);
    assert.deepEqual(
      kubelet.client.writes.slice(writes).filter((write) => write.includes("pods")),
      ["delete pods default/web"],
    );
  });

  test("preStop comes before SIGTERM and takes of its time", async () => {
    await kubelet.start().ready;
    const commands: string[] = [];
    kubelet.runtime.onExec = (_, command) => {
      commands.push(command.join(" "));
      assert.ok(!kubelet.runtime.calls.some((call) => call.startsWith("stop")));
      return { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: 0 };
    };
    const lifecycle = { preStop: { exec: { command: ["say", "bye"] } }, postStart: { exec: { command: ["say", "hi"] } } };
    await kubelet.client.create(PODS, podOf({ containers: [{ name: "c", image: "x", lifecycle }] }));
    await kubelet.podWhere("ready", isReady);
    await kubelet.client.delete(PODS, KEY);
    await until("gone", () => kubelet.isGone());
    assert.deepEqual(commands, ["say hi", "say bye"]);
  });

  test("pods that vanished while nobody looked are removed", async () => {
    await kubelet.runtime.runPodSandbox({
      metadata: { name: "old", uid: "old-uid", namespace: "default", attempt: 0 },
      hostname: "old",
      logDirectory: "",
      dnsConfig: { servers: [], searches: [], options: [] },
      namespaces: { network: "pod", pid: "container", ipc: "pod" },
      labels: {},
      annotations: {},
    });
    await kubelet.start().ready;
    await until("gone", () => kubelet.runtime.sandboxes.size === 0);
  });
});

test("a container that cannot be created is not said to have been", async () => {
  await kubelet.start().ready;
  kubelet.runtime.startErrors.set("c", new RuntimeError("CreateContainerError", "cannot mount /x"));
  await kubelet.client.create(PODS, podOf());
  await kubelet.podWhere("error", (p) => waitingReason(p) === "CreateContainerError");
  await until("event", async () => (await kubelet.events()).includes("Failed: Error: cannot mount /x"));
  assert.equal((await kubelet.events()).filter((event) => event.startsWith("Created:")).length, 0);
});
