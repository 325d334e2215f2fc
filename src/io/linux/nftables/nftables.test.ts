import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { formatTable } from "#nft";
import { NFT_CONTRACT } from "./contract.ts";
import { FakeNft } from "./fake.ts";
import { SAMPLE } from "./sample.ts";

describe("nftables, fake", () => {
  for (const { name, run } of NFT_CONTRACT) test(name, () => run(new FakeNft()));
  test("a small send buffer", () => NFT_CONTRACT.at(-1)?.run(new FakeNft({ maxBatchBytes: 400_000 })));
});

test("the sample reads as nft text", () => {
  const golden = readFileSync(new URL("sample.nft", import.meta.url), "utf8");
  assert.equal(formatTable(SAMPLE), golden);
});
