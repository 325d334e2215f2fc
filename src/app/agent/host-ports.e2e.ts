// Host ports in a whole cluster: who reaches them, where the scheduler puts them, and that they outlive the agent.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Pod } from "kubernetes-types/core/v1";
import { createInformer, type Informer } from "#client";
import { type KubeObject, NODES, PODS, SERVICES, type Stored } from "#kube";
import { startTestCluster, type TestCluster } from "../testing/cluster.ts";
import { component } from "../testing/status.ts";
import { until, untilReady } from "../testing/watched.ts";

const HTTP = 8080;
const HOST_PORT = 8088;
const PROTOCOLS = ["TCP", "UDP"] as const;

interface Given {
  readonly hostPort?: number;
  readonly nodeName?: string;
}

function pod(name: string, { hostPort, nodeName }: Given): KubeObject {
  const ports = hostPort === undefined ? [] : PROTOCOLS.map((protocol) => ({ containerPort: HTTP, hostPort, protocol }));
  const container = {
    name: "c",
    image: "agnhost",
    args: ["netexec", `--http-port=${HTTP}`, `--udp-port=${HTTP}`],
    ports,
    readinessProbe: { httpGet: { path: "/healthz", port: HTTP }, periodSeconds: 1 },
  };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container], ...(nodeName !== undefined && { nodeName }) };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default", labels: { app: name } }, spec } as KubeObject;
}

/** Prints what the server at an address says when it is asked over TCP or UDP. */
const ASK = `
const [protocol, host, port] = process.argv.slice(1);
const fail = (err) => { console.error(err.cause?.code ?? err.code ?? err.message); process.exit(1); };
setTimeout(() => fail(new Error("no answer")), 3000);
if (protocol === "TCP") {
  const url = "http://" + (host.includes(":") ? "[" + host + "]" : host) + ":" + port + "/hostname";
  fetch(url).then((r) => r.text()).then((text) => { process.stdout.write(text); process.exit(0); }, fail);
} else {
  const socket = require("node:dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.on("error", fail);
  socket.on("message", (m) => { process.stdout.write(String(m)); process.exit(0); });
  socket.connect(Number(port), host, () => socket.send("hostname"));
}`;

suite("host ports", () => {
  let cluster: TestCluster;
  let pods: Informer<Pod>;
  const addrs = new Map<string, readonly string[]>();

  before(async () => {
    cluster = await startTestCluster({ name: "hostports", flags: ["--nodes", "2"] });
    pods = createInformer(cluster.client, PODS, { namespace: "default" });
    for (const { metadata, status } of (await cluster.client.list(NODES)).items) {
      addrs.set(
        metadata.name,
        (status?.addresses ?? []).filter(({ type }) => type === "InternalIP").map(({ address }) => address),
      );
    }
    for (const nodeName of ["node-1", "node-2"]) await create(`client-${nodeName}`, { nodeName });
    await create("web", { hostPort: HOST_PORT, nodeName: "node-1" });
    await Promise.all(["client-node-1", "client-node-2", "web"].map(ready));
  });

  after(async () => {
    pods.stop();
    await cluster[Symbol.asyncDispose]();
  });

  async function create(name: string, given: Given): Promise<void> {
    await cluster.client.create(PODS, pod(name, given));
  }

  const ready = (name: string): Promise<Stored<Pod>> => untilReady(pods, `default/${name}`);

  async function remove(name: string): Promise<void> {
    await cluster.client.delete(PODS, { namespace: "default", name }, { gracePeriodSeconds: 0 });
    await until(pods, () => pods.get(`default/${name}`) === undefined);
  }

  /** `from` is a namespace of the sandbox, or `pod/NAME`. */
  async function ask(from: string, protocol: string, host: string, port = HOST_PORT): Promise<string> {
    const args = ["-e", ASK, protocol, host, String(port)];
    const result = from.startsWith("pod/")
      ? await cluster.fairlead("exec", from.slice("pod/".length), "--", "/node", ...args)
      : await cluster.inside(from, process.execPath, ...args);
    return result.code === 0 ? result.stdout.trim() : (result.stderr.trim().split("\n")[0] ?? "");
  }

  test("are reached from outside, nodes and pods, over both families and protocols", async () => {
    const hosts = addrs.get("node-1") ?? [];
    assert.equal(hosts.length, 2);
    for (const host of hosts) {
      for (const protocol of PROTOCOLS) {
        for (const from of ["outside", "node-1", "node-2", "pod/client-node-1", "pod/client-node-2", "pod/web"]) {
          assert.equal(await ask(from, protocol, host), "web", `${protocol} from ${from} to ${host}`);
        }
      }
    }
    for (const protocol of PROTOCOLS) assert.equal(await ask("node-1", protocol, "127.0.0.1"), "web", protocol);
    const [host = ""] = addrs.get("node-2") ?? [];
    assert.equal(await ask("outside", "TCP", host), "ECONNREFUSED", "only on the pod's node");
  });

  test("status has the node's addresses", async () => {
    const { status } = await ready("web");
    assert.equal(status?.hostIP, addrs.get("node-1")?.[0]);
    assert.deepEqual(
      status?.hostIPs?.map(({ ip }) => ip),
      addrs.get("node-1"),
    );
  });

  test("the scheduler gives a port of a node once", async () => {
    await create("second", { hostPort: HOST_PORT });
    assert.equal((await ready("second")).spec?.nodeName, "node-2");
    await create("third", { hostPort: HOST_PORT });
    const condition = await until(pods, () =>
      pods.get("default/third")?.status?.conditions?.find(({ type, status }) => type === "PodScheduled" && status === "False"),
    );
    assert.equal(condition.reason, "Unschedulable");
    assert.match(condition.message ?? "", /^0\/2 nodes are available: 2 node\(s\) didn't have free ports for the requested pod ports\./);
    await remove("second");
    assert.equal((await ready("third")).spec?.nodeName, "node-2");
    await remove("third");
  });

  test("a node port of the same number stays the Service's", async () => {
    const [host = ""] = addrs.get("node-1") ?? [];
    await create("other", { hostPort: 30_088, nodeName: "node-1" });
    await ready("other");
    assert.equal(await ask("outside", "TCP", host, 30_088), "other");
    const spec = { type: "NodePort", selector: { app: "client-node-2" }, ports: [{ port: 80, targetPort: HTTP, nodePort: 30_088 }] };
    await cluster.client.create(SERVICES, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "np", namespace: "default" },
      spec,
    } as KubeObject);
    while ((await ask("outside", "TCP", host, 30_088)) !== "client-node-2");
    await cluster.client.delete(SERVICES, { namespace: "default", name: "np" });
    while ((await ask("outside", "TCP", host, 30_088)) !== "other");
    await remove("other");
  });

  test("go on while the agent is killed and when the next one has come, which closes what has gone meanwhile", async () => {
    const hosts = addrs.get("node-1") ?? [];
    await create("short", { hostPort: 8089, nodeName: "node-1" });
    await ready("short");
    const old = await component(cluster, "agent", "node-1");
    process.kill(old.pid, "SIGKILL");
    for (const host of hosts) for (const protocol of PROTOCOLS) assert.equal(await ask("outside", protocol, host), "web");
    await remove("short");
    while ((await component(cluster, "agent", "node-1").catch(() => undefined))?.state !== "running");
    // A pod more: the next agent has taken over before it lets pods in.
    await create("later", { hostPort: 8090, nodeName: "node-1" });
    await ready("later");
    for (const host of hosts) {
      for (const protocol of PROTOCOLS) {
        assert.equal(await ask("outside", protocol, host), "web");
        assert.equal(await ask("outside", protocol, host, 8090), "later");
        while ((await ask("outside", protocol, host, 8089)) !== "ECONNREFUSED");
      }
    }
    assert.equal((await ready("web")).status?.containerStatuses?.[0]?.restartCount, 0);
  });
});
