import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseAddr } from "#ip";
import { diffTable, type Element, formatTable, type SetHeader, type Table } from "#nft";
import { netns } from "../netns.ts";
import { NFT_CONTRACT } from "./contract.ts";
import { randomTable } from "./random-table.ts";
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

test("another process's transactions are told from one's own, through whatever sockets", () => {
  using ns = netns.createAnonymous() as ReturnType<typeof netns.createAnonymous> & Disposable;
  const [one, two, stranger] = [openNft(ns), openNft(ns), openNft(ns, { isStranger: true })];
  const table = { family: "inet", name: "t" } as const;
  const before = one.generationOfOthers();
  one.apply([{ op: "add table", table }]);
  two.apply([{ op: "delete table", table }]);
  assert.deepEqual([one.generationOfOthers(), two.generationOfOthers()], [before, before]);
  stranger.apply([{ op: "add table", table }]);
  one.apply([{ op: "delete table", table }]);
  assert.deepEqual([one.generationOfOthers(), two.generationOfOthers()], [before + 1, before + 1]);
  if (hasNft) ns.run(() => runNft(["add", "table", "inet", "t"]));
  assert.equal(two.generationOfOthers(), before + (hasNft ? 2 : 1));
  for (const each of [one, two, stranger]) each.close();
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

test("property: any table comes back as it was written, and can become any other", () => {
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

const IPTABLES = "iptables-nft";
const hasIptables: boolean = spawnSync(IPTABLES, ["--version"]).status === 0;

test("the comment of a rule that iptables wrote", { skip: hasIptables ? false : `there is no ${IPTABLES} command here` }, () => {
  using ns = netns.createAnonymous();
  const args = ["-A", "FORWARD", "-p", "tcp", "-m", "comment", "--comment", "default/web:http", "-j", "DROP"];
  const { status, stderr } = ns.run(() => spawnSync(IPTABLES, args, { encoding: "utf8" }));
  assert.equal(status, 0, stderr);
  const nft = openNft(ns);
  const [rule] = nft.chains({ family: "ip", name: "filter" })?.find(({ name }) => name === "FORWARD")?.rules ?? [];
  nft.close();
  assert.equal(rule?.comment, "default/web:http");
  assert.deepEqual(
    rule.statements.map(({ kind }) => kind),
    ["match", "counter", "verdict"],
  );
});
