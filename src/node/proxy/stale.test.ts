import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr } from "#ip";
import type { ConntrackEntry } from "#linux";
import { SCTP, TCP, UDP } from "#nft";
import { compileService } from "./compile.ts";
import { mayStrandFlows, staleFlows } from "./stale.ts";
import { NODE, type PortSpec, service, slice } from "./testing.ts";
import type { Frontend } from "./types.ts";

const VIP = "10.96.0.1";

function frontend(protocol: "TCP" | "UDP" | "SCTP", ...endpoints: readonly string[]): Frontend {
  const ports: readonly PortSpec[] = [{ name: "p", port: 53, protocol }];
  const [made] = compileService({ service: service("s", [VIP], ports), slices: [slice("s", endpoints, ports)], node: NODE }).frontends;
  assert.ok(made);
  return made;
}

/** A flow from a client to the service's port, that `backend` answers; itself: nobody did. */
function flow(protocol: number, backend: string, port = 53): ConntrackEntry {
  const client = parseAddr("10.244.1.9");
  return {
    original: { src: client, dst: parseAddr(VIP), protocol, srcPort: 4000, dstPort: port },
    reply: { src: parseAddr(backend), dst: client, protocol, srcPort: port, dstPort: 4000 },
    id: 1,
    mark: 0,
    zone: 0,
    timeoutSeconds: 30,
    status: 0,
  };
}

test("flows are stale when their backend serves no more, over UDP and SCTP, never over TCP", () => {
  const of = ["10.244.1.2@a", "10.244.1.3@a!terminating", "10.244.1.4@a!dead", "10.244.1.5@a!notready"];
  for (const [name, protocol, stale] of [
    ["UDP", UDP, ["10.244.1.4", "10.244.1.5", "10.244.1.6", VIP]],
    ["SCTP", SCTP, ["10.244.1.4", "10.244.1.5", "10.244.1.6", VIP]],
    ["TCP", TCP, []],
  ] as const) {
    const only = frontend(name, ...of);
    const flows = ["10.244.1.2", "10.244.1.3", "10.244.1.4", "10.244.1.5", "10.244.1.6", VIP].map((ip) => flow(protocol, ip));
    const found = staleFlows(flows, (key) => (key === only.key ? only : undefined));
    assert.deepEqual(
      found.map(({ reply }) => [...reply.src.bytes].join(".")),
      stale,
      name,
    );
    // Another port of the address is somebody else's affair, and so are all of a Service that nobody serves.
    assert.deepEqual(
      staleFlows([flow(protocol, "10.244.1.6", 54)], (key) => (key === only.key ? only : undefined)),
      [],
    );
    assert.deepEqual(
      staleFlows(flows, () => frontend(name, "10.244.1.4@a!dead")),
      [],
    );
  }
});

test("conntrack is read only after changes that may have made a flow stale", () => {
  const key = frontend("UDP").key;
  const two = frontend("UDP", "10.244.1.2@a", "10.244.1.3@a");
  const one = frontend("UDP", "10.244.1.2@a");
  const cases: readonly [string, Frontend | undefined, Frontend | undefined, boolean][] = [
    ["one goes", two, one, true],
    ["one comes", one, two, false],
    ["one terminates, and serves", two, frontend("UDP", "10.244.1.2@a", "10.244.1.3@a!terminating"), false],
    ["from none", frontend("UDP"), one, true],
    ["to none", one, frontend("UDP"), false],
    ["a new one", undefined, one, true],
    ["a new one without endpoints", undefined, frontend("UDP"), false],
    ["deleted", one, undefined, false],
    ["nothing", one, frontend("UDP", "10.244.1.2@a"), false],
    ["TCP", frontend("TCP", "10.244.1.2@a", "10.244.1.3@a"), frontend("TCP", "10.244.1.2@a"), false],
  ];
  for (const [name, old, next, expected] of cases) assert.equal(mayStrandFlows({ key, old, next }), expected, name);
});
