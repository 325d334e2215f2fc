import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeStatus } from "kubernetes-types/core/v1";
import { formatAddr } from "#ip";
import { internalAddrsOf } from "./node-addresses.ts";

test("InternalIPs in their order; what is no address is left out and told", () => {
  const addresses: unknown[] = [
    {},
    null,
    { type: "InternalIP" },
    { type: "InternalIP", address: "172.18.0.300" },
    { type: "InternalIP", address: 7 },
    { type: "Hostname", address: "node-1" },
    { type: "InternalIP", address: "172.18.0.11" },
    { type: "ExternalIP", address: "203.0.113.9" },
    { type: "InternalIP", address: "fd00:18::b" },
  ];
  const { addrs, ignored } = internalAddrsOf({ status: { addresses: addresses as NonNullable<NodeStatus["addresses"]> } });
  assert.deepEqual(addrs.map(formatAddr), ["172.18.0.11", "fd00:18::b"]);
  assert.deepEqual(ignored, [
    "{}",
    "null",
    '{"type":"InternalIP"}',
    '{"type":"InternalIP","address":"172.18.0.300"}',
    '{"type":"InternalIP","address":7}',
  ]);
  assert.deepEqual(internalAddrsOf({}), { addrs: [], ignored: [] });
});
