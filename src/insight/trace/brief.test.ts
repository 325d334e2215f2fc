import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr } from "#ip";
import type * as model from "#model";
import { formatBrief } from "./brief.ts";
import type { Leg, SeenPoint, Trace } from "./types.ts";

const SYN: model.Packet = {
  protocol: 6,
  src: parseAddr("10.244.1.5"),
  dst: parseAddr("10.96.0.1"),
  srcPort: 40_000,
  dstPort: 80,
  length: 40,
  ttl: 64,
  tcpFlags: 2,
};
const BACKEND: model.End = { addr: parseAddr("10.244.1.6"), port: 8080 };
const DNAT: model.Decision = { kind: "nat", what: "destination", from: { addr: SYN.dst, port: 80 }, to: BACKEND };

function hop(
  namespace: string,
  linkIn: string | undefined,
  linkOut: string | undefined,
  decisions: readonly model.Decision[] = [],
): model.Hop {
  return { namespace, ...(linkIn && { linkIn }), ...(linkOut && { linkOut }), before: SYN, after: SYN, decisions };
}

/** `at`: `namespace link in|out request|reply`. */
function seen(at: string, timeNs: bigint): SeenPoint {
  const [namespace = "", link = "", way, direction] = at.split(" ");
  return {
    timeNs,
    namespace,
    link,
    way: way === "in" ? "in" : "out",
    direction: direction === "reply" ? "reply" : "request",
    text: "",
    isEncapsulated: false,
  };
}

test("a line a hop, with what changed and when it was seen; a link where it was not seen says so", () => {
  const end: model.WalkEnd = { kind: "delivered", namespace: "x/web", packet: SYN };
  const request = { hops: [hop("x/a", undefined, "eth0"), hop("node-1", "cni0", "cni0", [DNAT]), hop("x/web", "eth0", undefined)], end };
  const reply = { hops: [hop("x/web", undefined, "eth0"), hop("x/a", "eth0", undefined)], end };
  const roundTrip: model.RoundTrip = { request, reply, outcome: { kind: "answered", by: "x/web", seenAs: BACKEND } };
  const points = [
    seen("x/a eth0 out request", 1000n),
    seen("node-1 cni0 in request", 5000n),
    seen("node-1 cni0 out request", 9000n),
    seen("x/a eth0 in reply", 21_000n),
  ];
  const leg = { predicted: { verdict: "allowed", ways: [{ probability: 1, roundTrip }] }, observed: { points } } as unknown as Leg;
  const text = formatBrief({ question: "", verdict: "allowed", sentence: "", leg } as unknown as Trace, (_, plain) => plain);
  assert.deepEqual(
    text
      .trimEnd()
      .split("\n")
      .map((line) => line.trim().split(/ {2,}/)),
    [
      ["x/a", "eth0", "10.244.1.5:40000 > 10.96.0.1:80 tcp syn 40 bytes ttl 64", "+0 µs"],
      ["node-1", "cni0 → cni0", "destination becomes 10.244.1.6:8080", "+8 µs"],
      ["x/web", "eth0", "is there", "not seen"],
      ["x/a", "eth0", "has its answer", "+20 µs"],
    ],
  );
});

test("where nothing can be sent there is the reason", () => {
  const told = formatBrief({ question: "", verdict: "silence", sentence: "silence: no address" } as unknown as Trace, (_, plain) => plain);
  assert.equal(told, "silence: no address\n");
});
