// Which block of the cluster's Pod CIDRs a node gets.

import { InputError } from "#base";
import { addrBits, addrToBigInt, formatPrefix, maskPrefix, nthSubnet, type Prefix, prefixContains, prefixOverlaps } from "#ip";

/** One Pod CIDR of the cluster, cut into blocks of `nodeBits`. */
export interface Pool {
  readonly cluster: Prefix;
  readonly nodeBits: number;
}

/** Checks `--cluster-cidr` against `--node-cidr-mask-size`. Throws InputError. */
export function makePools(clusters: readonly Prefix[], nodeBits: readonly number[]): Pool[] {
  const families = new Set(clusters.map((cluster) => cluster.addr.family));
  if (families.size !== clusters.length) throw new InputError("--cluster-cidr", "has more than one block of one IP family");
  return clusters.map((cluster, i) => {
    const bits = nodeBits[i] ?? (cluster.addr.family === 4 ? 24 : 64);
    if (bits < cluster.bits || bits > addrBits(cluster.addr.family)) {
      throw new InputError("--node-cidr-mask-size", `${bits} does not fit ${formatPrefix(cluster)}`);
    }
    return { cluster: maskPrefix(cluster), nodeBits: bits };
  });
}

/**
 * A block of each pool that overlaps nothing in `taken`; undefined when a pool is used up. All of a node's blocks have one number
 * where that is possible, and it is `preferred` if that is free: node-3 gets 10.244.3.0/24 and fd00:10:244:3::/64, which is easy to read.
 */
export function allocateBlocks(pools: readonly Pool[], taken: readonly Prefix[], preferred: number | undefined): Prefix[] | undefined {
  const used = pools.map((pool) => usedRanges(pool, taken));
  const same = preferred !== undefined && isFree(pools, used, BigInt(preferred)) ? BigInt(preferred) : lowestCommon(pools, used);
  const blocks: Prefix[] = [];
  for (const [i, pool] of pools.entries()) {
    const index = same ?? lowestFree(used[i] ?? [], 0n);
    if (index >= blockCount(pool)) return undefined;
    blocks.push(nthSubnet(pool.cluster, pool.nodeBits, index));
  }
  return blocks;
}

interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

function blockCount(pool: Pool): bigint {
  return 1n << BigInt(pool.nodeBits - pool.cluster.bits);
}

/** The numbers of the pool's blocks that are taken, in order. */
function usedRanges(pool: Pool, taken: readonly Prefix[]): Range[] {
  const ranges: Range[] = [];
  const shift = BigInt(addrBits(pool.cluster.addr.family) - pool.nodeBits);
  const base = addrToBigInt(pool.cluster.addr) >> shift;
  for (const prefix of taken) {
    if (prefix.addr.family !== pool.cluster.addr.family || !prefixOverlaps(pool.cluster, prefix)) continue;
    if (!prefixContains(pool.cluster, prefix.addr)) return [{ first: 0n, last: blockCount(pool) - 1n }];
    const first = (addrToBigInt(maskPrefix(prefix).addr) >> shift) - base;
    const size = prefix.bits < pool.nodeBits ? 1n << BigInt(pool.nodeBits - prefix.bits) : 1n;
    ranges.push({ first, last: first + size - 1n });
  }
  return ranges.sort((a, b) => (a.first < b.first ? -1 : 1));
}

function isFree(pools: readonly Pool[], used: readonly Range[][], index: bigint): boolean {
  return pools.every(
    (pool, i) => index < blockCount(pool) && !(used[i] ?? []).some((range) => range.first <= index && index <= range.last),
  );
}

function lowestFree(used: readonly Range[], from: bigint): bigint {
  let index = from;
  for (const range of used) {
    if (range.first > index) break;
    if (range.last >= index) index = range.last + 1n;
  }
  return index;
}

function lowestCommon(pools: readonly Pool[], used: readonly Range[][]): bigint | undefined {
  for (let index = 0n; ; ) {
    const next = used.reduce((lowest, ranges) => lowestFree(ranges, lowest), index);
    if (pools.some((pool) => next >= blockCount(pool))) return undefined;
    if (next === index) return index;
    index = next;
  }
}

/** The number at the end of a node's name. */
export function preferredIndex(nodeName: string): number | undefined {
  const digits = /(\d{1,6})$/.exec(nodeName)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
