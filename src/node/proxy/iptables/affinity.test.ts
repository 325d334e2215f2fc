import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddr } from "#ip";
import { parseList } from "./affinity.ts";

test("clients of a list of xt_recent, and how long ago they came", () => {
  // A kernel of 250 ticks a second that has been up for 1,000 s: 1 s ago, just now, and what rounding puts into the future.
  const now = 2 ** 32 - 300 * 250 + 1000 * 250;
  const text = `src=10.244.1.2 ttl: 64 last_seen: ${now - 250} oldest_pkt: 2 4295123400, 4295123456
src=fd00:0010:0244:0001:0000:0000:0000:0002 ttl: 64 last_seen: ${now} oldest_pkt: 1 4295123456
src=10.244.1.3 ttl: 0 last_seen: ${now + 25} oldest_pkt: 1 4295123456
`;
  const clock = { ticksPerSecond: 250, uptimeMs: 1_000_000 };
  assert.deepEqual(
    parseList(text, clock).map(({ client, ageMs }) => [formatAddr(client), ageMs]),
    [
      ["10.244.1.2", 1000],
      ["fd00:10:244:1::2", 0],
      ["10.244.1.3", 0],
    ],
  );
  assert.deepEqual(parseList("", clock), []);
});
