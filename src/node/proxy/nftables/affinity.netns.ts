// The memory for clients when it is full.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAddr } from "#ip";
import { openNft } from "#linux";
import type { Element } from "#nft";
import { stage } from "../cases/stage.ts";
import { tcp } from "../fixture.ts";
import { FAMILIES } from "../fixture-cluster.ts";
import { affinityMap, TABLE } from "./layout.ts";

const [IPV4] = FAMILIES;

describe("as many clients as can be remembered", () => {
  if (IPV4 === undefined) return;
  const at = stage("nftables", IPV4);
  const ask = async (): Promise<string> => (await tcp(at.fixture.outside, IPV4.node, 30_001)).split(" ")[0] ?? "";

  test("others are served as if there were no affinity, and those that are remembered keep theirs", async () => {
    const { cluster, fixture } = at;
    await cluster.set(1, IPV4, [...IPV4.pods], { sessionAffinity: "ClientIP" });
    const nft = openNft(fixture.node.ns);
    const set = affinityMap(4, 0);
    const backend = parseAddr("10.244.1.2");
    const elements = Array.from({ length: set.size ?? 0 }, (_, i): Element => {
      const client = parseAddr(`100.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`);
      return { key: [client, 6, 0], data: [backend, 8080], timeoutMs: 3_600_000 };
    });
    const begin = performance.now();
    for (let i = 0; i < elements.length; i += 16_384) {
      nft.apply([{ op: "add elements", table: TABLE, set, elements: elements.slice(i, i + 16_384) }]);
    }
    console.log(`# ${elements.length} clients written in ${Math.round(performance.now() - begin)} ms`);
    const answers = new Set<string>();
    for (let i = 0; i < 30; i++) answers.add(await ask());
    assert.deepEqual([...answers].sort(), ["pod-a", "pod-b"]);
    const known = elements.pop();
    assert.ok(known);
    nft.apply([{ op: "delete elements", table: TABLE, set, elements: [known] }]);
    const first = await ask();
    for (let i = 0; i < 8; i++) assert.equal(await ask(), first);
    // Their backend goes, and all of them are forgotten; the one with the other backend is not.
    const [a, b] = IPV4.pods;
    const swept = performance.now();
    await cluster.set(1, IPV4, [b]);
    console.log(`# and forgotten in ${Math.round(performance.now() - swept)} ms`);
    assert.equal(nft.elements(TABLE, set).length, first === "pod-a" ? 0 : 1);
    await cluster.set(1, IPV4, [a, b]);
    nft.close();
  });
});
