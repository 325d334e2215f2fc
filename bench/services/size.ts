// One size, in a network namespace of this process's own: `size.ts SERVICESxENDPOINTS CHANGES [--skip-chains]` prints a SizeResult.
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { parseAddr, parsePrefix } from "#ip";
import { type NftSocket, netns, openNft } from "#linux";
import { diffTable } from "#nft";
import { type ServiceProxy, startProxy } from "#proxy";
import { NftablesDataplane } from "../../src/node/proxy/nftables/dataplane.ts";
import { inGroups } from "../../src/node/proxy/nftables/full.ts";
import { chainFrame, chainService } from "./chains.ts";
import { benchService, benchSlice, podAddr, podsOf, type Sizes, ToldInformer } from "./cluster.ts";

export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** CPU of the process for one change; of its main thread, which the change waits for: other programs do not add to that. */
  readonly cpu: number;
  readonly cpuP99: number;
}

/** Times in milliseconds. */
export interface SizeResult extends Sizes {
  readonly elements: number;
  readonly coldMs: number;
  readonly coldCpuMs: number;
  /** Of the process, objects of the cluster included. */
  readonly rssBytes: number;
  readonly loadMs: number;
  readonly chainsMs?: number;
  readonly adoptMs: number;
  readonly changeMs: Readonly<Record<string, Spread>>;
}

const TABLE = { family: "inet", name: "fairlead-proxy" } as const;

const [size = "", changeCount = "", skipChains] = process.argv.slice(2);
const [serviceCount = 0, endpointCount = 0] = size.split("x").map(Number);
const sizes: Sizes = { services: serviceCount, endpoints: endpointCount };

/** Each load has a namespace of its own, all of them until the end: what is being removed would take time from what is measured. */
const spaces: NftSocket[] = [];
function freshNft(): NftSocket {
  const nft = openNft(netns.createAnonymous());
  spaces.push(nft);
  return nft;
}

const services = new ToldInformer<Service>();
const slices = new ToldInformer<EndpointSlice>();

function start(nft: NftSocket): ServiceProxy {
  return startProxy({
    openDataplane: (options) => new NftablesDataplane({ ...options, nft: keptOpen(nft) }),
    client: createFakeClient(),
    node: { name: "node-1", addresses: [parseAddr("172.18.0.11")] },
    podCidrs: [parsePrefix("10.128.0.0/9")],
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
    list: (table, open) => nft.list(table, open),
    chains: (table) => nft.chains(table),
    elements: (table, set) => nft.elements(table, set),
    tables: () => nft.tables(),
    generation: () => nft.generation(),
    generationOfOthers: () => nft.generationOfOthers(),
    close: () => {},
  };
}

async function timed(fn: () => unknown): Promise<number> {
  const begin = performance.now();
  await fn();
  return performance.now() - begin;
}

function cpuMs(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

/** From telling the informer to the answer of the kernel. */
async function changes(proxy: ServiceProxy, addressesOf: (n: number, i: number) => readonly string[]): Promise<Spread> {
  const times: number[] = [];
  const threadTimes: number[] = [];
  const cpu = process.cpuUsage();
  for (let i = 0; i < Number(changeCount); i++) {
    const n = (i * 7919) % sizes.services;
    const slice = benchSlice(n, addressesOf(n, i));
    const thread = process.threadCpuUsage();
    times.push(
      await timed(() => {
        slices.set(slice);
        return proxy.idle();
      }),
    );
    const { user, system } = process.threadCpuUsage(thread);
    threadTimes.push((user + system) / 1000);
  }
  const at = (all: number[], p: number): number =>
    all.sort((a, b) => a - b)[Math.min(all.length - 1, Math.floor((all.length * p) / 100))] ?? 0;
  return { p50: at(times, 50), p99: at(times, 99), max: at(times, 100), cpu: cpuMs(cpu) / times.length, cpuP99: at(threadTimes, 99) };
}

for (let n = 0; n < sizes.services; n++) {
  services.set(benchService(n));
  slices.set(benchSlice(n, podsOf(n, sizes)));
}
const nft = freshNft();
const cpu = process.cpuUsage();
let proxy = start(nft);
const coldMs = await timed(() => proxy.synced);
const coldCpuMs = cpuMs(cpu);
const rssBytes = process.memoryUsage.rss();
proxy.stop();

const table = nft.list(TABLE);
const { changes: whole } = diffTable(undefined, table ?? { ...TABLE, sets: [], chains: [] });
const flat = freshNft();
const loadMs = await timed(() => flat.applyAll(inGroups(whole, true)));
let chainsMs: number | undefined;
if (skipChains === undefined) {
  const chains = freshNft();
  const groups = [chainFrame(), ...Array.from({ length: sizes.services }, (_, n) => chainService(n, sizes))];
  chainsMs = await timed(() => chains.applyAll(groups));
}
proxy = start(nft);
const adoptMs = await timed(() => proxy.synced);
// A first round lets the compiler see the code.
await changes(proxy, (n, i) => [podAddr(i + 400_000), ...podsOf(n, sizes).slice(1)]);
const changeMs = {
  "one endpoint replaced": await changes(proxy, (n, i) => [podAddr(i + 500_000), ...podsOf(n, sizes).slice(1)]),
  "one endpoint less": await changes(proxy, (n) => podsOf(n, sizes).slice(1)),
  "one endpoint more": await changes(proxy, (n) => podsOf(n, sizes)),
};
const before = nft.generation();
await proxy.resync();
if (nft.generation() !== before) throw new Error("the comparison with the kernel found differences");
proxy.stop();
for (const space of spaces) space.close();

const elements = (table?.sets ?? []).reduce((sum, set) => sum + set.elements.length, 0);
const chains = chainsMs === undefined ? {} : { chainsMs };
const result: SizeResult = { ...sizes, elements, coldMs, coldCpuMs, rssBytes, loadMs, ...chains, adoptMs, changeMs };
console.log(JSON.stringify(result));
process.exit(0);
