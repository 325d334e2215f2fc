import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Addr, parseAddr } from "#ip";
import { type Datatype, diffTable, type Element, formatTable, type SetHeader, type Table, type Value } from "#nft";
import { netns } from "../netns.ts";
import { NFT_CONTRACT } from "./contract.ts";
import { SAMPLE } from "./sample.ts";
import { openNft } from "./socket.ts";
import type { NftSocket } from "./types.ts";

/** Runs `fn` with nf_tables of a new namespace. */
function inNewNetns<T>(fn: (nft: NftSocket, nftCommand: (...args: string[]) => string) => T): T {
  using ns = netns.createAnonymous() as ReturnType<typeof netns.createAnonymous> & Disposable;
  const nft = openNft(ns);
  try {
    return fn(nft, (...args) => ns.run(() => runNft(args)));
  } finally {
    nft.close();
  }
}

function runNft(args: readonly string[]): string {
  const [input, rest] = args[0] === "-f" ? [args[1], ["-f", "-"]] : [undefined, args];
  const result = spawnSync("nft", rest, { encoding: "utf8", ...(input !== undefined && { input }) });
  if (result.status !== 0) throw new Error(`nft ${rest.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

const hasNft: boolean = spawnSync("nft", ["--version"]).status === 0;
const needsNft = { skip: hasNft ? false : "there is no nft command here to compare with" };

describe("nftables, kernel", () => {
  for (const { name, run } of NFT_CONTRACT) test(name, () => inNewNetns((nft) => run(nft)));
});

/** `nft list` with the elements of hash sets, whose order is random, sorted, and without remaining times. */
function canonical(listing: string): string[] {
  const flat = listing.replaceAll(/,\s+/g, ",\n").replaceAll(/ expires \w+/g, "");
  return flat
    .split("\n")
    .map((line) => line.replace(/^\s*(elements = \{)?\s*/, "").replace(/( \}|,)$/, ""))
    .sort();
}

test("nft reads our text and our messages as the same ruleset", needsNft, () => {
  const fromText = inNewNetns((_, nftCommand) => {
    nftCommand("-f", formatTable(SAMPLE));
    return nftCommand("list", "ruleset");
  });
  const fromMessages = inNewNetns((nft, nftCommand) => {
    nft.apply(diffTable(undefined, SAMPLE).changes);
    return nftCommand("list", "ruleset");
  });
  assert.deepEqual(canonical(fromMessages), canonical(fromText));
});

test("what nft wrote is read back as what we meant", needsNft, () => {
  inNewNetns((nft, nftCommand) => {
    nftCommand("-f", formatTable(SAMPLE));
    const { changes } = diffTable(nft.list(SAMPLE), SAMPLE);
    // nft matches a byte-aligned prefix by fewer bytes, and a range by two comparisons; the rest is the same.
    const differing = new Set(changes.map((change) => ("chain" in change ? change.chain : change.op)));
    assert.deepEqual([...differing], ["matches"]);
  });
});

const addr4: fc.Arbitrary<Addr> = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => ({ family: 4, bytes }));
const addr6: fc.Arbitrary<Addr> = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => ({ family: 6, bytes }));
const VALUES: Partial<Record<Datatype, fc.Arbitrary<Value>>> = {
  ipv4_addr: addr4,
  ipv6_addr: addr6,
  inet_proto: fc.integer({ min: 0, max: 255 }),
  inet_service: fc.integer({ min: 0, max: 65_535 }),
  mark: fc.integer({ min: 0, max: 0xffff_ffff }),
  index: fc.integer({ min: 0, max: 0xffff_ffff }),
  ifname: fc.stringMatching(/^[a-z][a-z0-9]{0,10}$/),
  ether_addr: fc.uint8Array({ minLength: 6, maxLength: 6 }),
};

const types = fc.constantFrom<Datatype>("ipv4_addr", "ipv6_addr", "inet_proto", "inet_service", "mark", "index", "ether_addr");
const typeList = fc.array(types, { minLength: 1, maxLength: 4 }).filter((list) => list.filter((type) => type === "ipv6_addr").length < 3);

function valuesOf(list: readonly Datatype[]): fc.Arbitrary<Value[]> {
  return fc.tuple(...list.map((type) => VALUES[type] ?? fc.constant(0)));
}

const randomTable: fc.Arbitrary<Table> = fc.tuple(typeList, typeList, fc.boolean()).chain(([key, data, isMap]) => {
  const set: SetHeader = { name: "s", key, ...(isMap && { data }) };
  const comment = fc.option(fc.stringMatching(/^[a-z0-9/:-]{1,60}$/), { nil: undefined });
  const element: fc.Arbitrary<Element> = fc
    .tuple(valuesOf(key), valuesOf(data), comment)
    .map(([k, d, c]) => ({ key: k, ...(isMap && { data: d }), ...(c !== undefined && { comment: c }) }));
  const elements = fc.uniqueArray(element, {
    maxLength: 8,
    selector: (e) => JSON.stringify(e.key.map((part) => (typeof part === "object" ? JSON.stringify(part) : part))),
  });
  return elements.map((list) => ({ family: "inet" as const, name: "t", sets: [{ ...set, elements: list }], chains: [] }));
});

test("any set comes back as it was written, and any table can become any other", () => {
  inNewNetns((nft) => {
    let current: Table | undefined;
    fc.assert(
      fc.property(randomTable, (desired) => {
        const { changes, cleanup } = diffTable(current, desired);
        nft.apply([...changes, ...cleanup]);
        current = nft.list(desired);
        assert.deepEqual(diffTable(current, desired), { changes: [], cleanup: [] });
      }),
      { numRuns: 150 },
    );
  });
});

test("intervals: neighbours, the whole space, its last address", () => {
  const set: SetHeader = { name: "s", key: ["ipv4_addr"], flags: ["interval"] };
  const range = (first: string, last: string): Element => ({ key: [{ first: parseAddr(first), last: parseAddr(last) }] });
  const one = (addr: string): Element => ({ key: [parseAddr(addr)] });
  const cases: readonly (readonly Element[])[] = [
    [range("0.0.0.0", "255.255.255.255")],
    [range("10.0.0.0", "10.0.0.255"), range("10.0.1.0", "10.0.1.255"), one("10.0.2.0")],
    [one("0.0.0.0"), one("255.255.255.255")],
    [range("10.0.0.0", "10.0.0.127"), range("10.0.1.0", "10.0.1.255")],
    [],
  ];
  inNewNetns((nft) => {
    let current: Table | undefined;
    for (const elements of cases) {
      const desired: Table = { family: "inet", name: "t", sets: [{ ...set, elements }], chains: [] };
      nft.apply(diffTable(current, desired).changes);
      current = nft.list(desired);
      assert.deepEqual(current?.sets[0]?.elements, elements);
    }
  });
});

test("an error says which element, and what the kernel says", () => {
  inNewNetns((nft) => {
    const set: SetHeader = { name: "s", key: ["ipv4_addr"], flags: ["interval"] };
    const table = { family: "inet", name: "t" } as const;
    const overlapping = [1, 2, 3].map((n): Element => ({ key: [{ first: parseAddr(`10.0.0.${n}`), last: parseAddr("10.0.0.9") }] }));
    assert.throws(
      () =>
        nft.apply([
          { op: "add table", table },
          { op: "add set", table, set },
          { op: "add elements", table, set, elements: overlapping },
        ]),
      /Cannot add element \{ 10\.0\.0\.2-10\.0\.0\.9 \} to inet t s: .*\(EEXIST\)/,
    );
  });
});
