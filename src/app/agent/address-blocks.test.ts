import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import fc from "fast-check";
import { silentLogger } from "#base";
import { createHttpClient } from "#client";
import { addrFromBigInt, formatPrefix, maskPrefix, type Prefix, prefixContains, prefixOverlaps } from "#ip";
import { parseBlocks, serviceBlocks, union } from "./address-blocks.ts";

const texts = (blocks: readonly Prefix[]): string[] => blocks.map(formatPrefix).sort();

test("halves become wholes, what lies inside goes, host bits do not matter", () => {
  const of = (text: string): string[] => texts(parseBlocks("--cluster-cidr", text));
  assert.deepEqual(of("10.244.0.0/24,10.244.1.0/24,10.244.2.0/24,10.244.3.0/24"), ["10.244.0.0/22"]);
  assert.deepEqual(of("10.244.1.0/24,10.244.2.0/24"), ["10.244.1.0/24", "10.244.2.0/24"]);
  assert.deepEqual(of("10.244.0.0/16,10.244.7.0/24,fd00:10:244::/56"), ["10.244.0.0/16", "fd00:10:244::/56"]);
  assert.deepEqual(of("10.244.1.7/24,10.244.1.0/24"), ["10.244.1.0/24"]);
  assert.deepEqual(of("0.0.0.0/1,128.0.0.0/1"), ["0.0.0.0/0"]);
  assert.throws(() => of("10.0.0.0/8,nonsense"), { code: "BadInput", message: /^--cluster-cidr: "nonsense"/ });
});

test("an API server that has too much to do is asked again for ServiceCIDRs, one that has none is an error of the command line", async (t) => {
  const answers = [503, 429, 404];
  const server = createServer((_, res) => {
    res.statusCode = answers.shift() ?? 500;
    res.end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const client = createHttpClient({ server: `http://127.0.0.1:${address.port}` });
  t.after(() => {
    client.close();
    server.close();
  });
  const asked = serviceBlocks(client, silentLogger, new AbortController().signal);
  await assert.rejects(asked, { code: "BadInput", message: /^--service-cidr: is missing, and the API server has no ServiceCIDR objects/ });
  assert.deepEqual(answers, []);
});

test("property: a union has the same addresses, and no two of its blocks overlap", () => {
  const block = fc
    .tuple(fc.bigInt({ min: 0n, max: 255n }), fc.integer({ min: 24, max: 32 }))
    .map(([low, bits]): Prefix => maskPrefix({ addr: addrFromBigInt(4, 0x0af40000n + low), bits }));
  fc.assert(
    fc.property(fc.array(block, { maxLength: 12 }), (blocks) => {
      const merged = union(blocks);
      for (const [i, one] of merged.entries())
        assert.ok(!merged.slice(i + 1).some((other) => prefixOverlaps(one, other)), texts(merged).join());
      for (let low = 0n; low < 256n; low++) {
        const addr = addrFromBigInt(4, 0x0af40000n + low);
        const inside = (list: readonly Prefix[]): boolean => list.some((one) => prefixContains(one, addr));
        assert.equal(inside(merged), inside(blocks));
      }
    }),
    { numRuns: 200 },
  );
});
