// Services at size: how long the flat layout takes to load over netlink, beside a chain per service and endpoint over the same
// netlink; and how long a change of one EndpointSlice takes to reach the kernel then.
// usage: npm run bench services -- [--services N] [--endpoints N] [--changes N] [--skip-chains] [--no-comments] [--json]
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { parseAddr, parsePrefix } from "#ip";
import { type NftSocket, netns, openNft } from "#linux";
import { type Change, diffTable, type Table } from "#nft";
import { type ServiceProxy, startProxy } from "#proxy";
import { NftablesDataplane } from "../../src/node/proxy/nftables/dataplane.ts";
import { inGroups } from "../../src/node/proxy/nftables/full.ts";
import { chainFrame, chainService } from "./chains.ts";
import { benchService, benchSlice, podAddr, podsOf, type Sizes, ToldInformer } from "./cluster.ts";

const { values } = parseArgs({
  options: {
    services: { type: "string", default: "10000" },
    endpoints: { type: "string", default: "5" },
    changes: { type: "string", default: "200" },
    "skip-chains": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

if (process.env["FAIRLEAD_BENCH_NETNS"] !== "1") {
  const isRoot = process.getuid?.() === 0;
  const command = [...(isRoot ? [] : ["--user", "--map-root-user"]), "--net", "--", process.execPath, ...process.argv.slice(1)];
  const result = spawnSync("unshare", command, { stdio: "inherit", env: { ...process.env, FAIRLEAD_BENCH_NETNS: "1" } });
  if (result.error !== undefined) throw result.error;
  process.exit(result.status ?? 1);
}

const sizes: Sizes = { services: Number(values.services), endpoints: Number(values.endpoints) };
const TABLE = { family: "inet", name: "fairlead-proxy" } as const;
/** Each load has a namespace of its own, all of them until the end: what is being removed would take time from what is measured. */
const spaces: NftSocket[] = [];
function freshNft(): NftSocket {
  const nft = openNft(netns.createAnonymous());
  spaces.push(nft);
  return nft;
}

const results: Record<string, number> = {};

function timed<T>(name: string, fn: () => T): T {
  const begin = performance.now();
  const result = fn();
  results[name] = performance.now() - begin;
  return result;
}

function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? 0;
}

const services = new ToldInformer<Service>();
const slices = new ToldInformer<EndpointSlice>();
for (let n = 0; n < sizes.services; n++) {
  services.set(benchService(n));
  slices.set(benchSlice(n, podsOf(n, sizes)));
}

function start(nft: NftSocket): ServiceProxy {
  return startProxy({
    openDataplane: (options) => new NftablesDataplane({ ...options, nft: keptOpen(nft) }),
    client: createFakeClient(),
    node: { name: "node-1", addresses: [parseAddr("172.18.0.11")] },
    podCidrs: [parsePrefix("10.244.0.0/16")],
    serviceCidrs: [parsePrefix("10.96.0.0/16")],
    logger: silentLogger,
    informers: { services, slices },
  });
}

/** The same socket for one user more, who will close it. */
function keptOpen(nft: NftSocket): NftSocket {
  return {
    maxBatchBytes: nft.maxBatchBytes,
    apply: (changes) => nft.apply(changes),
    applyAll: (groups) => nft.applyAll(groups),
    list: (table) => nft.list(table),
    elements: (table, set) => nft.elements(table, set),
    tables: () => nft.tables(),
    generation: () => nft.generation(),
    close: () => {},
  };
}

async function untilSynced(name: string, nft: NftSocket): Promise<ServiceProxy> {
  const begin = performance.now();
  const proxy = start(nft);
  await proxy.synced;
  results[name] = performance.now() - begin;
  return proxy;
}

/** The same transaction without provenance: what the comments cost. */
function withoutComments(changes: readonly Change[]): Change[] {
  return changes.map((change) =>
    change.op === "add elements"
      ? { ...change, elements: change.elements.map(({ key, data }) => ({ key, ...(data && { data }) })) }
      : change,
  );
}

/** From telling the informer to the answer of the kernel. */
async function changeTimes(proxy: ServiceProxy, addressesOf: (n: number, i: number) => readonly string[]): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < Number(values.changes); i++) {
    const n = (i * 7919) % sizes.services;
    const slice = benchSlice(n, addressesOf(n, i));
    const begin = performance.now();
    slices.set(slice);
    await proxy.idle();
    times.push(performance.now() - begin);
  }
  return times.sort((a, b) => a - b);
}

const nft = freshNft();
(await untilSynced("flat: start to complete (compile, load)", nft)).stop();
const table: Table | undefined = timed("flat: read the table back", () => nft.list(TABLE));
const { changes } = diffTable(undefined, table ?? { ...TABLE, sets: [], chains: [] });
const elements = (table?.sets ?? []).reduce((sum, set) => sum + set.elements.length, 0);
const flat = freshNft();
const bare = freshNft();
timed("flat: load", () => flat.applyAll(inGroups(changes, true)));
timed("flat: load, without comments", () => bare.applyAll(inGroups(withoutComments(changes), true)));
if (!values["skip-chains"]) {
  const groups = [chainFrame(), ...Array.from({ length: sizes.services }, (_, n) => chainService(n, sizes))];
  const chains = freshNft();
  timed("chains: load", () => chains.applyAll(groups));
}
const proxy = await untilSynced("flat: a new agent adopts what is there", nft);
// A first round lets the compiler see the code.
await changeTimes(proxy, (n, i) => [podAddr(i + 50_000), ...podsOf(n, sizes).slice(1)]);
const latencies = {
  "one endpoint replaced": await changeTimes(proxy, (n, i) => [podAddr(i + 60_000), ...podsOf(n, sizes).slice(1)]),
  "one endpoint less": await changeTimes(proxy, (n) => podsOf(n, sizes).slice(1)),
  "one endpoint more": await changeTimes(proxy, (n) => podsOf(n, sizes)),
};
const before = nft.generation();
await proxy.resync();
if (nft.generation() !== before) throw new Error("the comparison with the kernel found differences");
proxy.stop();
for (const space of spaces) space.close();

if (values.json) {
  const spread = Object.fromEntries(
    Object.entries(latencies).map(([name, times]) => [name, { p50: percentile(times, 50), p99: percentile(times, 99), max: times.at(-1) }]),
  );
  console.log(JSON.stringify({ ...sizes, elements, milliseconds: results, changeMilliseconds: spread }, null, 2));
} else {
  console.log(`${sizes.services} services with ${sizes.endpoints} endpoints each: ${elements} elements in the flat layout\n`);
  for (const [name, ms] of Object.entries(results)) console.log(`${name.padEnd(46)}${(ms / 1000).toFixed(3).padStart(9)} s`);
  const ratio = (results["chains: load"] ?? 0) / (results["flat: load"] ?? 1);
  if (ratio > 0) console.log(`${"chains : flat".padEnd(46)}${ratio.toFixed(1).padStart(9)} times`);
  console.log(`\nfrom an EndpointSlice to the kernel, ${values.changes} changes each        p50       p99       max`);
  for (const [name, times] of Object.entries(latencies)) {
    const cells = [percentile(times, 50), percentile(times, 99), times.at(-1) ?? 0].map((ms) => `${ms.toFixed(2)} ms`.padStart(10));
    console.log(`  ${name.padEnd(46)}${cells.join("")}`);
  }
}
