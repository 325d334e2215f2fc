// One number of policies, in a network namespace of this process's own: `programming.ts POLICIES PODS PEERS CHANGES` prints a ProgrammingResult.
import type { Pod } from "kubernetes-types/core/v1";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { parseAddr } from "#ip";
import { NAMESPACES, NETWORK_POLICIES, PODS } from "#kube";
import { openNft } from "#linux";
import { type LocalPod, startPolicies } from "#policy";
import { localPod, namespaces, peer, policy } from "./objects.ts";

interface Spread {
  readonly p50: number;
  readonly p99: number;
}

/** Times in milliseconds, from the API's object to the kernel's answer. */
export interface ProgrammingResult {
  readonly policies: number;
  readonly elements: number;
  readonly rssBytes: number;
  readonly firstMs: number;
  readonly adoptMs: number;
  readonly changeMs: Readonly<Record<string, Spread>>;
}

const [policyCount = 0, podCount = 0, peerCount = 0, changeCount = 0] = process.argv.slice(2).map(Number);
const client = createFakeClient();
for (const name of namespaces) client.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { name } } });
const locals = Array.from({ length: podCount }, (_, n) => connected(localPod(n)));
for (let n = 0; n < peerCount; n++) client.seed(PODS, peer(n));
for (let n = 0; n < policyCount; n++) client.seed(NETWORK_POLICIES, policy(n));

function connected(pod: Pod): LocalPod {
  const { metadata, status } = client.seed(PODS, pod);
  const addrs = (status?.podIPs ?? []).map(({ ip = "" }) => parseAddr(ip));
  return { containerId: metadata.name, namespace: metadata.namespace ?? "", name: metadata.name, uid: metadata.uid, addrs };
}

const nft = openNft();
const start = (): ReturnType<typeof startPolicies> => {
  const started = startPolicies({ client, nodeName: "node-1", nft, logger: silentLogger });
  started.open(locals);
  return started;
};

async function timed(fn: () => unknown): Promise<number> {
  const begin = performance.now();
  await fn();
  return performance.now() - begin;
}

let policies = start();
const firstMs = await timed(() => policies.ready);
policies.stop();
policies = start();
const adoptMs = await timed(() => policies.ready);

async function spread(change: (i: number) => unknown, own = false): Promise<Spread> {
  const times: number[] = [];
  for (let i = 0; i < changeCount; i++) {
    const before = policies.metrics.syncs_total;
    times.push(
      await timed(async () => {
        await change(i);
        while (!own && policies.metrics.syncs_total === before) await new Promise((resolve) => setImmediate(resolve));
      }),
    );
  }
  times.sort((a, b) => a - b);
  const at = (p: number): number => times[Math.min(times.length - 1, Math.floor((times.length * p) / 100))] ?? 0;
  return { p50: at(50), p99: at(99) };
}

const label = (pod: Pod, labels: Readonly<Record<string, string>>): unknown => {
  const { namespace = "", name = "" } = pod.metadata ?? {};
  return client.patch(PODS, { namespace, name }, { type: "merge", body: { metadata: { labels } } });
};
const born = new Map<number, LocalPod>();
const policyKey = (n: number): { namespace: string; name: string } => ({ namespace: `ns-${n % 10}`, name: `policy-${n}` });

const changeMs: Record<string, Spread> = {
  "a policy comes": await spread((i) => client.seed(NETWORK_POLICIES, policy(policyCount + i))),
  "a policy's port changes": await spread((i) =>
    client.patch(NETWORK_POLICIES, policyKey(i), { type: "merge", body: { spec: policy(i, 30_000 + i).spec } }),
  ),
  "a policy goes": await spread((i) => client.delete(NETWORK_POLICIES, policyKey(policyCount + i))),
  "a peer comes": await spread((i) => client.seed(PODS, peer(peerCount + i))),
  "a peer's label changes": await spread((i) => label(peer(i), { tier: `tier-${(i + 7) % 20}` })),
  "a pod's label changes": await spread((i) =>
    label(localPod(i % podCount), { app: `app-${(Math.floor((i % podCount) / 10) + 1 + (i % 9)) % 11}` }),
  ),
  "a pod is born, and waits until it is isolated": await spread(async (i) => {
    const pod = connected(localPod(podCount + i));
    born.set(i, pod);
    await policies.add(pod);
  }, true),
  "a pod goes": await spread((i) => policies.del(born.get(i)?.containerId ?? "")),
};
const rssBytes = process.memoryUsage.rss();
const { elements } = policies.metrics;
policies.stop();
nft.close();
const result: ProgrammingResult = { policies: policyCount, elements, rssBytes, firstMs, adoptMs, changeMs };
console.log(JSON.stringify(result));
