import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddr } from "#ip";
import { parseList } from "./affinity.ts";

test("clients of a list of xt_recent", () => {
  const text = `src=10.244.1.2 ttl: 64 last_seen: 4295123456 oldest_pkt: 2 4295123400, 4295123456
src=fd00:0010:0244:0001:0000:0000:0000:0002 ttl: 64 last_seen: 4295123456 oldest_pkt: 1 4295123456
`;
  assert.deepEqual(parseList(text).map(formatAddr), ["10.244.1.2", "fd00:10:244:1::2"]);
  assert.deepEqual(parseList(""), []);
});
