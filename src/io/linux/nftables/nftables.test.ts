import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { diffTable, formatTable } from "#nft";
import { NFT_CONTRACT } from "./contract.ts";
import { FakeNft } from "./fake.ts";
import { randomTable } from "./random-table.ts";
import { SAMPLE } from "./sample.ts";

describe("nftables, fake", () => {
  for (const { name, run } of NFT_CONTRACT) test(name, () => run(new FakeNft()));
  test("a small send buffer", () => NFT_CONTRACT.at(-1)?.run(new FakeNft({ maxBatchBytes: 400_000 })));
});

test("the sample reads as nft text", () => {
  const golden = readFileSync(new URL("sample.nft", import.meta.url), "utf8");
  assert.equal(formatTable(SAMPLE), golden);
});

test("property: the difference between two tables makes one of the other, in one transaction", () => {
  fc.assert(
    fc.property(randomTable, randomTable, (a, b) => {
      const nft = new FakeNft();
      nft.apply(diffTable(undefined, a).changes);
      const { changes, cleanup } = diffTable(nft.list(a), b);
      nft.apply([...changes, ...cleanup]);
      assert.deepEqual(diffTable(nft.list(b), b), { changes: [], cleanup: [] });
    }),
    { numRuns: 300 },
  );
});
