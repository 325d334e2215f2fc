// Real packets through the real table, between pods of a node, the node and the outside.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { NetworkPolicyPeer, NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { formatAddr, parseAddr } from "#ip";
import { PODS } from "#kube";
import { openNft } from "#linux";
import { formatTable } from "#nft";
import { type Place, type TestPod, udp } from "../portmap/testing/world.ts";
import { isSame } from "./diff.ts";
import { TABLE } from "./layout.ts";
import { Conversation, Neighbourhood, reaches } from "./testing/neighbourhood.ts";
import type { LocalPod, Policies } from "./types.ts";

type Pod = TestPod & { readonly local: LocalPod };

const PORT = 8080;

let hood: Neighbourhood;
let policies: Policies;
let server: Pod;
let friend: Pod;
let stranger: Pod;

before(async () => {
  hood = new Neighbourhood();
  [server, friend, stranger] = [hood.pod("x/server"), hood.pod("x/friend"), hood.pod("y/stranger")];
  policies = hood.start();
  for (const { local } of [server, friend, stranger]) await policies.add(local);
  await policies.ready;
});

after(() => {
  policies.stop();
  hood.world.close();
});

afterEach(async () => {
  if (policies.metrics.policies > 0) await hood.remove(policies, "x/p");
});

const FAMILIES = [
  { name: "IPv4", index: 0, node: "10.244.1.1", outside: "172.18.0.1", any: "0.0.0.0/0" },
  { name: "IPv6", index: 1, node: "fd00:10:244:1::1", outside: "fd00:18::1", any: "::/0" },
] as const;

for (const { name, index, node, outside, any } of FAMILIES) {
  describe(`policies over ${name}`, () => {
    const addr = (pod: Pod): string => formatAddr(pod.addrs[index] ?? assert.fail(name));
    const bits = index === 0 ? 32 : 128;

    /** TCP and UDP together, unless told otherwise. */
    async function expectReach(from: Place, to: string, expected: boolean | { tcp: boolean; udp: boolean }): Promise<void> {
      const wanted = typeof expected === "boolean" ? { tcp: expected, udp: expected } : expected;
      assert.deepEqual(await reaches(from, to, PORT, wanted.tcp && wanted.udp), wanted);
    }

    async function expectIngress(spec: Partial<NetworkPolicySpec>, friendly: boolean, strange: boolean): Promise<void> {
      await hood.apply(policies, "x/p", { podSelector: { matchLabels: { pod: "server" } }, ...spec });
      await expectReach(friend, addr(server), friendly);
      await expectReach(stranger, addr(server), strange);
    }

    const from = (...peers: NetworkPolicyPeer[]): Partial<NetworkPolicySpec> => ({ ingress: [{ from: peers }] });

    test("without policies all reach all", async () => {
      await expectReach(friend, addr(server), true);
      await expectReach(stranger, addr(server), true);
      await expectReach(hood.world.outside, addr(server), true);
    });

    test("default deny: nobody but the node and the pod itself; what it asks for is answered", async () => {
      await expectIngress({}, false, false);
      await expectReach(hood.world.outside, addr(server), false);
      await expectReach(hood.world.node, addr(server), true);
      await expectReach(server, addr(server), true);
      await expectReach(server, addr(friend), true);
    });

    test("by label", () => expectIngress(from({ podSelector: { matchLabels: { pod: "friend" } } }), true, false));
    test("by namespace", () => expectIngress(from({ namespaceSelector: { matchLabels: { ns: "y" } } }), false, true));
    test("by block", () => expectIngress(from({ ipBlock: { cidr: `${addr(friend)}/${bits}` } }), true, false));
    test("by block but one", () => expectIngress(from({ ipBlock: { cidr: any, except: [`${addr(friend)}/${bits}`] } }), false, true));
    test("by the name of a port", () =>
      expectIngress({ ingress: [{ ports: [{ port: "http" }, { port: PORT - 1, endPort: PORT + 1, protocol: "UDP" }] }] }, true, true));

    test("one protocol is not the other", async () => {
      await hood.apply(policies, "x/p", { ingress: [{ ports: [{ port: "http", protocol: "TCP" }] }] });
      await expectReach(friend, addr(server), { tcp: true, udp: false });
    });

    test("the outside by its block", async () => {
      await hood.apply(policies, "x/p", from({ ipBlock: { cidr: `${outside}/${bits}` } }));
      await expectReach(hood.world.outside, addr(server), true);
      await expectReach(friend, addr(server), false);
    });

    test("egress: denied, to a peer, to its named port; and the node is always reached", async () => {
      const egress = (spec: Partial<NetworkPolicySpec>): Promise<void> =>
        hood.apply(policies, "x/p", { podSelector: { matchLabels: { pod: "friend" } }, policyTypes: ["Egress"], ...spec });
      await egress({});
      await expectReach(friend, addr(server), false);
      await expectReach(server, addr(friend), true);
      await hood.remove(policies, "x/p");
      const to = [{ podSelector: { matchLabels: { pod: "server" } } }];
      await egress({ egress: [{ to, ports: [{ port: "http" }, { port: "http", protocol: "UDP" }] }] });
      await expectReach(friend, addr(server), { tcp: true, udp: false });
      await expectReach(friend, addr(stranger), false);
    });

    test("what a change no longer allows ends, and goes on when it is allowed again", async () => {
      const talk = await Conversation.start(friend, addr(server), PORT);
      const other = await Conversation.start(stranger, addr(server), PORT);
      assert.equal(await talk.goesOn(true), true);
      assert.equal(await other.goesOn(true), true);
      await hood.apply(policies, "x/p", {
        podSelector: { matchLabels: { pod: "server" } },
        ...from({ podSelector: { matchLabels: { pod: "friend" } } }),
      });
      assert.equal(await talk.goesOn(true), true);
      assert.equal(await other.goesOn(false), false);
      await hood.remove(policies, "x/p");
      assert.equal(await other.goesOn(true), true);
      talk.close();
      other.close();
    });

    test("an ICMP error about an allowed packet comes back to a pod that nobody may reach", async () => {
      await hood.apply(policies, "x/p", {
        podSelector: { matchLabels: { pod: "friend" } },
        policyTypes: ["Ingress", "Egress"],
        egress: [{}],
      });
      assert.equal(await udp(friend, addr(server), PORT + 1), "ECONNREFUSED");
    });

    test("a label of another namespace that comes and goes", async () => {
      await hood.apply(policies, "x/p", from({ namespaceSelector: { matchLabels: { trusted: "yes" } } }));
      await expectReach(stranger, addr(server), false);
      await hood.label(policies, "y", { ns: "y", trusted: "yes" });
      await expectReach(stranger, addr(server), true);
      await expectReach(friend, addr(server), false);
      await hood.label(policies, "y", { ns: "y", trusted: "no" });
      await expectReach(stranger, addr(server), false);
    });

    test("the node's own servers answer a pod that may go nowhere", async () => {
      hood.world.serve(hood.world.node, "node", [parseAddr(node)], 9000 + index);
      await hood.apply(policies, "x/p", { podSelector: { matchLabels: { pod: "friend" } }, policyTypes: ["Egress"] });
      assert.deepEqual(await reaches(friend, node, 9000 + index, true), { tcp: true, udp: true });
    });
  });
}

describe("life", () => {
  test("an agent that comes back changes nothing, and what is in the kernel holds meanwhile", async () => {
    await hood.apply(policies, "x/p", {});
    const { nft } = hood.world.options;
    const before = nft.list(TABLE);
    policies.stop();
    const generation = nft.generation();
    const to = formatAddr(server.addrs[0] ?? assert.fail());
    assert.deepEqual(await reaches(friend, to, PORT, false), { tcp: false, udp: false });
    policies = hood.start([server, friend, stranger].map(({ local }) => local));
    await policies.ready;
    assert.equal(nft.generation(), generation);
    assert.ok(isSame(nft.list(TABLE), before));
  });

  test("a table that somebody has changed is written again", async () => {
    await hood.apply(policies, "x/p", {});
    const { nft } = hood.world.options;
    nft.apply([{ op: "delete table", table: TABLE }]);
    await hood.client.patch(
      PODS,
      { namespace: "x", name: "server" },
      { type: "merge", body: { metadata: { labels: { pod: "server", more: "" } } } },
    );
    policies.del("nobody");
    await hood.remove(policies, "x/p");
    assert.ok(nft.list(TABLE));
  });

  test("a table that somebody has removed or changed is missed by itself", async () => {
    await hood.apply(policies, "x/p", {});
    policies.stop();
    const { nft, ns } = hood.world.options;
    const somebody = openNft(ns, { isStranger: true });
    const locals = [server, friend, stranger].map(({ local }) => local);
    policies = hood.start(locals, { lookEveryMs: { isThere: 20, isSame: 20 } });
    await policies.ready;
    const table = nft.list(TABLE) ?? assert.fail();
    const shape = (found = nft.list(TABLE)): string | undefined =>
      found?.chains
        .map(({ name, rules }) => `${name} ${rules.length}`)
        .sort()
        .join();
    const comesBack = async (): Promise<void> => {
      while (shape() !== shape(table)) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    somebody.apply([{ op: "delete table", table: TABLE }]);
    await comesBack();
    const chain = table.chains.find(({ name }) => name.startsWith("ingress-"))?.name ?? assert.fail();
    somebody.apply([{ op: "flush chain", table: TABLE, chain }]);
    await comesBack();
    somebody.close();
  });

  test("flows that have begun go on where that is asked for; others are judged", async () => {
    policies.stop();
    const locals = [server, friend, stranger].map(({ local }) => local);
    policies = hood.start(locals, { established: "keep" });
    await policies.ready;
    for (const addr of server.addrs) {
      const talk = await Conversation.start(friend, formatAddr(addr), PORT);
      assert.equal(await talk.goesOn(true), true);
      await hood.apply(policies, "x/p", { policyTypes: ["Ingress", "Egress"] });
      assert.equal(await talk.goesOn(true), true);
      assert.deepEqual(await reaches(friend, formatAddr(addr), PORT, false), { tcp: false, udp: false });
      await hood.remove(policies, "x/p");
      talk.close();
    }
    policies.stop();
    policies = hood.start(locals);
    await policies.ready;
  });

  test("a pod that goes takes its elements along; the chains of nobody go", async () => {
    await hood.apply(policies, "x/p", {});
    const guest = hood.pod("x/guest");
    await policies.add(guest.local);
    const { nft } = hood.world.options;
    const text = (): string => formatTable(nft.list(TABLE) ?? assert.fail());
    const [addr] = guest.addrs;
    assert.ok(addr && text().includes(`${formatAddr(addr)} : jump`));
    const syncs = policies.metrics.syncs_total;
    policies.del(guest.name);
    while (policies.metrics.syncs_total === syncs) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(!text().includes(`${formatAddr(addr)} : jump`));
    await hood.remove(policies, "x/p");
    while (text().includes("ingress-")) await new Promise((resolve) => setImmediate(resolve));
  });
});
