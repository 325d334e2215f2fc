import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr } from "#ip";
import { encodeJson } from "./codec.ts";
import { parseNetworkQuery, parseProbeRequest, parseWatchRequest } from "./parse.ts";
import type { ProbeRequest, WatchRequest } from "./types.ts";

const DST = parseAddr("fd00::1");

test("requests come through as they were", () => {
  const probe: ProbeRequest = {
    from: { kind: "pod", namespace: "default", name: "web" },
    protocol: "udp",
    dst: DST,
    dstPort: 53,
    src: parseAddr("fd00::2"),
    srcPort: 4000,
    payload: Uint8Array.of(1, 2),
    timeoutMs: 100,
  };
  assert.deepEqual(parseProbeRequest(encodeJson(probe)), probe);
  const echo = { from: { kind: "outside" }, protocol: "icmp", dst: DST } as const;
  assert.deepEqual(parseProbeRequest(encodeJson(echo)), { ...echo, timeoutMs: 1000 });
  const watch: WatchRequest = {
    match: { protocol: "tcp", addrs: [DST], ports: [80] },
    seconds: 5,
    namespaces: ["default/web"],
    captures: true,
    traces: false,
  };
  assert.deepEqual(parseWatchRequest(encodeJson(watch)), watch);
  assert.deepEqual(parseNetworkQuery(new URLSearchParams("conntrack=1")), { conntrackEntries: true, processes: true });
});

const PROBES: readonly (readonly [unknown, RegExp])[] = [
  [undefined, /request: is not an object/],
  [[], /request: is not an object/],
  [{ from: { kind: "moon" }, protocol: "tcp", dst: DST, dstPort: 1 }, /from\.kind: is none of pod, node, underlay, outside/],
  [{ from: { kind: "pod", name: "a" }, protocol: "tcp", dst: DST, dstPort: 1 }, /from\.namespace: is not text/],
  [{ from: { kind: "outside" }, protocol: "tcp", dst: "10.0.0.1", dstPort: 1 }, /dst: is not an address/],
  [{ from: { kind: "outside" }, protocol: "tcp", dst: DST, dstPort: 65_536 }, /dstPort: is not a whole number from 0 to 65535/],
  [{ from: { kind: "outside" }, protocol: "udp", dst: DST, dstPort: 1, payload: "x" }, /payload: is not bytes/],
  [
    { from: { kind: "outside" }, protocol: "udp", dst: DST, dstPort: 1, payload: new Uint8Array(65_001) },
    /payload: has more than 65000 bytes/,
  ],
];
for (const [request, message] of PROBES)
  test(`a probe that is refused: ${message.source}`, () => assert.throws(() => parseProbeRequest(encodeJson(request)), message));

const WATCHES: readonly (readonly [unknown, RegExp])[] = [
  [{ match: { protocol: "tcp" }, seconds: 1 }, /match: names neither an address nor a port/],
  [{ match: { protocol: "tcp", ports: [1] } }, /seconds: is not a whole number from 0 to 600/],
  [{ match: { protocol: "tcp", ports: 1 }, seconds: 1 }, /match\.ports: is not a list/],
  [{ match: { protocol: "tcp", ports: [1.5] }, seconds: 1 }, /match\.ports\[0\]: is not a whole number/],
  [{ match: { protocol: "tcp", addrs: [1] }, seconds: 1 }, /match\.addrs\[0\]: is not an address/],
];
for (const [request, message] of WATCHES)
  test(`a watch that is refused: ${message.source}`, () => assert.throws(() => parseWatchRequest(encodeJson(request)), message));
