// Pods under a policy that lets them go nowhere, which connect as their first instruction, in a whole cluster: how many ever got through, and how
// long the pods took beside others of which no policy knows.
import type { Pod } from "kubernetes-types/core/v1";
import { createInformer, type Informer } from "#client";
import { type KubeObject, NETWORK_POLICIES, PODS } from "#kube";
import { startTestCluster, type TestCluster } from "../../src/app/testing/cluster.ts";
import { until, untilReady } from "../../src/app/testing/watched.ts";

export interface BirthResult {
  readonly pods: number;
  readonly attempts: number;
  readonly connected: number;
  /** From the pod's creation to its container's start, in milliseconds, the middle one. */
  readonly isolatedMs: number;
  readonly freeMs: number;
}

const PORT = 8080;

/** Twenty attempts, the first one at once; each answer is a line, and "done" the last. */
const IMPATIENT = `
const [host, port] = process.argv.slice(1);
let left = 20;
const ask = () => {
  if (left-- === 0) { console.log("done"); setInterval(() => {}, 1 << 30); return; }
  const socket = require("node:net").connect({ port: Number(port), host, timeout: 50 }, () => { console.log("yes"); socket.destroy(); });
  socket.on("timeout", () => { console.log("no"); socket.destroy(); });
  socket.on("error", (err) => console.log(err.code));
  socket.on("close", ask);
};
ask();`;

export async function measureBirth(count: number): Promise<BirthResult> {
  await using cluster = await startTestCluster({ name: `birth-${process.pid}`, flags: ["--nodes", "2"] });
  const pods = createInformer(cluster.client, PODS);
  try {
    await cluster.client.create(PODS, pod("server", "node-1", ["netexec", `--http-port=${PORT}`]));
    const { status } = await untilReady(pods, "default/server");
    await cluster.client.create(NETWORK_POLICIES, {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "nowhere", namespace: "default" },
      spec: { podSelector: { matchLabels: { app: "impatient" } }, policyTypes: ["Egress"] },
    });
    const where = { cluster, pods, host: status?.podIP ?? "" };
    const isolatedMs: number[] = [];
    const freeMs: number[] = [];
    const said: string[] = [];
    for (let i = 0; i < count; i++) {
      isolatedMs.push(await started(where, `impatient-${i}`, `node-${1 + (i % 2)}`));
      freeMs.push(await started(where, `free-${i}`, `node-${1 + (i % 2)}`));
      said.push(...(await answers(cluster, `impatient-${i}`)));
      for (const name of [`impatient-${i}`, `free-${i}`]) await cluster.client.delete(PODS, { namespace: "default", name });
    }
    const connected = said.filter((line) => line === "yes").length;
    return { pods: count, attempts: said.length, connected, isolatedMs: median(isolatedMs), freeMs: median(freeMs) };
  } finally {
    pods.stop();
  }
}

interface Where {
  readonly cluster: TestCluster;
  readonly pods: Informer<Pod>;
  readonly host: string;
}

async function started({ cluster, pods, host }: Where, name: string, nodeName: string): Promise<number> {
  const begin = performance.now();
  await cluster.client.create(PODS, pod(name, nodeName, undefined, ["/node", "-e", IMPATIENT, host, String(PORT)]));
  await until(pods, () => pods.get(`default/${name}`)?.status?.containerStatuses?.[0]?.state?.running !== undefined);
  return performance.now() - begin;
}

async function answers(cluster: TestCluster, name: string): Promise<string[]> {
  for (;;) {
    const lines = (await cluster.fairlead("logs", name)).stdout.trim().split("\n");
    if (lines.at(-1) === "done") return lines.slice(0, -1);
  }
}

function pod(name: string, nodeName: string, args?: readonly string[], command?: readonly string[]): KubeObject {
  const container = { name: "c", image: "agnhost", ...(args && { args }), ...(command && { command }) };
  const spec = { nodeName, terminationGracePeriodSeconds: 0, containers: [container] };
  const app = name.split("-")[0] ?? "";
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default", labels: { app } }, spec } as KubeObject;
}

function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[all.length >> 1] ?? 0;
}
