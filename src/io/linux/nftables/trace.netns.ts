// Traced packets, and the table that goes with its socket.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { after, test } from "node:test";
import { parseAddr } from "#ip";
import { type Chain, type Change, drop, equals, jump, meta, payload, type Statement, type TableId, UDP } from "#nft";
import { decodePacket } from "#wire";
import { udpFd } from "../index.ts";
import { twoNamespaces } from "../testing/two-namespaces.ts";
import { openNft, type TraceEvent, watchTrace } from "./index.ts";

const both = twoNamespaces();
const { near, far } = both;
after(() => both.close());

const ARM: TableId = { family: "inet", name: "arm" };
const RULES: TableId = { family: "inet", name: "rules" };
const traced: Statement = { kind: "set", target: { kind: "meta", key: "nftrace" }, value: { kind: "value", type: "integer8", value: 1 } };
const toPort = (port: number): Statement[] => [equals(meta("l4proto"), UDP), equals(payload("th dport"), port)];

const changes: readonly Change[] = [
  { op: "add table", table: RULES },
  { op: "add chain", table: RULES, chain: "refused" },
  { op: "add chain", table: RULES, chain: "in", base: { type: "filter", hook: "input", priority: 0, policy: "accept" } },
  { op: "add rule", table: RULES, chain: "in", rule: { statements: [...toPort(4000), jump("refused")], comment: "to it" } },
  { op: "add rule", table: RULES, chain: "refused", rule: { statements: [drop()], comment: "nobody" } },
];

function arm(port: number): readonly Change[] {
  return [
    { op: "add table", table: ARM, owned: true },
    { op: "add chain", table: ARM, chain: "pre", base: { type: "filter", hook: "prerouting", priority: -350, policy: "accept" } },
    { op: "add rule", table: ARM, chain: "pre", rule: { statements: [...toPort(port), traced] } },
  ];
}

function send(port: number): Promise<void> {
  const socket = createSocket("udp4");
  socket.bind({ fd: udpFd(near, parseAddr("0.0.0.0"), 0) });
  socket.send("hello", port, "10.9.0.2", () => socket.close());
  return once(socket, "close").then(() => undefined);
}

test("each step of a traced packet is told, with its rule, links and headers; others are not", async () => {
  const nft = openNft(far);
  const armed = openNft(far);
  nft.apply(changes);
  armed.apply(arm(4000));
  assert.throws(() => nft.apply([{ op: "delete table", table: ARM }]), /EPERM/, "it is owned");
  const done = Promise.withResolvers<void>();
  const events: TraceEvent[] = [];
  const watch = watchTrace(far, (event) => {
    events.push(event);
    if (event.verdict.kind === "drop") done.resolve();
  });
  await send(4001);
  await send(4000);
  const ref = setInterval(() => {}, 1000);
  await done.promise;
  clearInterval(ref);
  watch.close();

  const steps = events.filter(({ table }) => table === "rules");
  const [id, ...ids] = new Set(events.map((event) => event.id));
  assert.ok(id !== undefined && ids.length === 0, "one packet");
  assert.deepEqual(
    steps.map(({ type, chain, verdict }) => [type, chain, verdict]),
    [
      ["rule", "in", { kind: "jump", chain: "refused" }],
      ["rule", "refused", { kind: "drop" }],
    ],
  );
  const rules = new Map((nft.chains(RULES) ?? []).flatMap((chain: Chain) => chain.rules.map((rule) => [rule.handle, rule.comment])));
  assert.deepEqual(
    steps.map(({ handle }) => rules.get(handle)),
    ["to it", "nobody"],
  );
  const [first] = steps;
  assert.ok(first?.packet !== undefined && first.iif !== undefined && first.oif === undefined);
  const packet = decodePacket(first.packet);
  assert.deepEqual([packet?.ip.dst, packet?.udp?.dstPort], [parseAddr("10.9.0.2"), 4000]);

  armed.close();
  assert.deepEqual(nft.tables(), [RULES], "the owned table went with its socket");
  nft.close();
});
