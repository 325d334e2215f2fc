// What policies do to packets that open no connection: answers, errors, echoes, what goes on after a change, and what conntrack does not know.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAddr } from "#ip";
import type { Stored } from "#kube";
import { ICMP, ICMPV6, prepareNetwork, type Question, type RoundTrip, roundTrip, TCP, TCP_FLAGS, UDP, type WalkOptions } from "#model";
import type { NetworkPolicy } from "#netpol";
import { type ShadowObjects, type ShadowOptions, shadowNetwork } from "./index.ts";
import { namespace, networkPolicy, node, pod } from "./testing/objects.ts";

const WEB = [{ name: "http", containerPort: 8080 }];
const [CLIENT, SERVER] = [pod("a/client", { node: 1, n: 2 }), pod("b/server", { node: 2, n: 2, ports: WEB })];
const OBJECTS: ShadowObjects = {
  nodes: [node(1), node(2)],
  namespaces: [namespace("a"), namespace("b")],
  pods: [CLIENT, SERVER],
  services: [],
  endpointSlices: [],
  networkPolicies: [],
};

const ADDRS = { 4: "10.244.2.2", 6: "fd00:10:244:2::2" } as const;

type Options = WalkOptions & Pick<ShadowOptions, "policyEstablished">;

function ask(networkPolicies: readonly Stored<NetworkPolicy>[], more: Partial<Question> = {}, options: Options = {}): RoundTrip {
  const network = prepareNetwork(shadowNetwork({ ...OBJECTS, networkPolicies }, options));
  const question: Question = { from: "a/client", protocol: TCP, dst: parseAddr(ADDRS[4]), dstPort: 8080, ...more };
  return roundTrip(network, question, Math.random, { remember: true, ...options });
}

function say({ outcome }: RoundTrip): string {
  if (outcome.kind === "silence") return `${outcome.direction} ends in ${outcome.at}: ${outcome.why}`;
  return outcome.kind === "refused" ? `refused by ${outcome.by} with ${outcome.with}` : `answered by ${outcome.by}`;
}

const closed = (namespaceName: string): Stored<NetworkPolicy> =>
  networkPolicy(`${namespaceName}/closed`, { podSelector: {}, policyTypes: ["Ingress", "Egress"] });
const to = (port?: number): Stored<NetworkPolicy> =>
  networkPolicy("a/to", { podSelector: {}, policyTypes: ["Egress"], egress: [port === undefined ? {} : { ports: [{ port }] }] });
const from = (port?: number): Stored<NetworkPolicy> =>
  networkPolicy("b/from", { podSelector: {}, ingress: [port === undefined ? {} : { ports: [{ port }] }] });

describe("what belongs to a connection", () => {
  test("its answers pass where nobody may come in and nothing may go out of itself", () => {
    assert.equal(say(ask([closed("a"), to(8080), closed("b"), from(8080)])), "answered by b/server");
    assert.equal(say(ask([closed("a"), closed("b"), from(8080)])), "request ends in node-1: rule");
    assert.equal(say(ask([to(8080), closed("b")])), "request ends in node-2: rule");
  });

  test("so do errors about it", () => {
    const policies = [closed("a"), to(), closed("b"), from()];
    assert.equal(say(ask(policies, { protocol: UDP, dstPort: 9 })), "refused by b/server with port-unreachable");
    const { reply } = ask(policies, { protocol: UDP, dstPort: 9 });
    const states = reply?.hops.flatMap(({ decisions }) => decisions.flatMap((one) => (one.kind === "conntrack" ? [one.state] : [])));
    assert.deepEqual(new Set(states?.filter((state) => state !== "new" && state !== "established")), new Set(["related"]));
  });

  for (const [family, protocol] of [
    [4, ICMP],
    [6, ICMPV6],
  ] as const) {
    test(`an echo over IPv${family} needs a rule for all ports`, () => {
      const echo = { protocol, dst: parseAddr(ADDRS[family]) };
      assert.equal(say(ask([closed("b"), from()], echo)), "answered by b/server");
      assert.equal(say(ask([closed("b"), from(8080)], echo)), "request ends in node-2: rule");
    });
  }
});

describe("a connection that stands", () => {
  const later: Partial<Question> = { tcpFlags: TCP_FLAGS.ack | TCP_FLAGS.psh };
  const { memory } = ask([]);
  assert.ok(memory !== undefined);

  test("goes on while it may, and is cut by what forbids it, at either end", () => {
    assert.equal(say(ask([], later, { memory })), "answered by b/server");
    assert.equal(say(ask([from(8080)], later, { memory })), "answered by b/server");
    assert.equal(say(ask([closed("b")], later, { memory })), "request ends in node-2: rule");
    assert.equal(say(ask([closed("a")], later, { memory })), "request ends in node-1: rule");
  });

  test("stays where agents are told to keep it; a new one does not", () => {
    const policyEstablished = "keep";
    const { memory: answered } = ask([], later, { memory });
    assert.equal(
      say(ask([closed("a"), closed("b")], later, { policyEstablished, ...(answered && { memory: answered }) })),
      "answered by b/server",
    );
    assert.equal(say(ask([closed("b")], {}, { policyEstablished })), "request ends in node-2: rule");
  });

  test("is cut in the other direction too: nothing that the server says comes through", () => {
    const { reply } = ask([], later, { memory });
    assert.ok(reply !== undefined);
    const answer: Partial<Question> = { from: "b/server", dst: parseAddr("10.244.1.2"), srcPort: 8080, dstPort: 40_000, ...later };
    assert.match(say(ask([closed("b")], answer, { memory })), /request ends in node-2: rule/);
  });

  test("one that conntrack has forgotten is taken up, and judged as it goes on; what it cannot take up needs a rule for everything", () => {
    assert.equal(say(ask([closed("b"), from(8080)], later)), "answered by b/server");
    assert.equal(say(ask([closed("b"), from(81)], later)), "request ends in node-2: rule");
    const reset: Partial<Question> = { tcpFlags: TCP_FLAGS.rst };
    const reaches = ({ request }: RoundTrip): string => request.end.namespace;
    assert.equal(reaches(ask([closed("b"), from(8080)], reset)), "node-2");
    assert.equal(reaches(ask([closed("b"), from()], reset)), "b/server");
  });
});
