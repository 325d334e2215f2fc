import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Node } from "kubernetes-types/core/v1";
import { formatPrefix, type Prefix, parsePrefix, prefixContains, prefixOverlaps } from "#ip";
import { NODES } from "#kube";
import { startTestBed } from "../testing.ts";
import { allocateBlocks, makePools, preferredIndex } from "./compute.ts";
import { startNodeIpam } from "./reconcile.ts";

const POOLS = makePools([parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")], [24, 64]);

function allocate(taken: string[], preferred?: number): string[] | undefined {
  return allocateBlocks(
    POOLS,
    taken.map((text) => parsePrefix(text)),
    preferred,
  )?.map(formatPrefix);
}

const CASES: readonly [string, string[], number | undefined, string[] | undefined][] = [
  ["the first", [], undefined, ["10.244.0.0/24", "fd00:10:244::/64"]],
  ["the number of the name", [], 3, ["10.244.3.0/24", "fd00:10:244:3::/64"]],
  ["the number is taken", ["10.244.3.0/24"], 3, ["10.244.0.0/24", "fd00:10:244::/64"]],
  ["the number is too big", [], 256, ["10.244.0.0/24", "fd00:10:244::/64"]],
  ["a number that is free in both", ["10.244.0.0/24", "fd00:10:244:1::/64"], undefined, ["10.244.2.0/24", "fd00:10:244:2::/64"]],
  ["blocks of other sizes", ["10.244.0.0/22", "10.244.4.128/25"], undefined, ["10.244.5.0/24", "fd00:10:244:5::/64"]],
  ["foreign blocks", ["192.168.0.0/24"], undefined, ["10.244.0.0/24", "fd00:10:244::/64"]],
  ["used up", ["10.0.0.0/8"], undefined, undefined],
  ["no number is free in both", ["10.244.0.0/17", "fd00:10:244:80::/57"], undefined, ["10.244.128.0/24", "fd00:10:244::/64"]],
];

for (const [name, taken, preferred, expected] of CASES) {
  test(`blocks: ${name}`, () => assert.deepEqual(allocate(taken, preferred), expected));
}

test("blocks never overlap and stay inside, until the pool is used up", () => {
  const small = makePools([parsePrefix("10.0.0.0/28")], [30]);
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(8), { nil: undefined }), { minLength: 5, maxLength: 5 }), (wishes) => {
      const taken: Prefix[] = [];
      for (const wish of wishes) taken.push(...(allocateBlocks(small, taken, wish) ?? []));
      assert.equal(taken.length, 4);
      for (const [i, a] of taken.entries()) {
        assert.ok(prefixContains(parsePrefix("10.0.0.0/28"), a.addr));
        for (const b of taken.slice(i + 1)) assert.ok(!prefixOverlaps(a, b));
      }
    }),
  );
});

test("wrong flags are named", () => {
  assert.throws(() => makePools([parsePrefix("10.0.0.0/16")], [8]), /--node-cidr-mask-size: 8 does not fit 10.0.0.0\/16/);
  assert.throws(() => makePools([parsePrefix("10.0.0.0/16"), parsePrefix("10.1.0.0/16")], []), /--cluster-cidr: .*one IP family/);
});

test("a node's number is at the end of its name", () => {
  assert.deepEqual(["node-12", "a1b", "n007"].map(preferredIndex), [12, undefined, 7]);
});

function node(name: string, ...podCIDRs: string[]): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    spec: podCIDRs.length === 0 ? {} : { podCIDR: podCIDRs[0] ?? "", podCIDRs },
  };
}

test("nodes keep what they have; new ones get what is free, also when they come together", async () => {
  const objects = [node("a", "10.244.1.0/24", "fd00:10:244:1::/64"), node("node-1"), node("node-2"), node("b")];
  using bed = await startTestBed(objects, (context) => startNodeIpam(context, POOLS));
  await bed.settle();
  const cidrs = Object.fromEntries((await bed.client.list(NODES)).items.map((n) => [n.metadata.name, n.spec?.podCIDRs?.[0]]));
  assert.deepEqual(cidrs, { a: "10.244.1.0/24", "node-1": "10.244.0.0/24", "node-2": "10.244.2.0/24", b: "10.244.3.0/24" });
  assert.deepEqual(bed.client.writes.length, 3);
});

test("a node that found nothing left gets what a deleted one had", async () => {
  const pools = makePools([parsePrefix("10.0.0.0/24")], [24]);
  using bed = await startTestBed([node("a", "10.0.0.0/24"), node("b")], (context) => startNodeIpam(context, pools));
  await bed.settle();
  assert.deepEqual(bed.events, ["Normal CIDRNotAvailable b: Node b status is now: CIDRNotAvailable"]);
  await bed.client.delete(NODES, { name: "a" });
  await bed.settle();
  assert.equal((await bed.client.get(NODES, { name: "b" })).spec?.podCIDR, "10.0.0.0/24");
});
