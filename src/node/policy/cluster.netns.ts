// Real packets through the tiers of ClusterNetworkPolicies.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { type Logger, silentLogger } from "#base";
import { ApiError, type Client } from "#client";
import { formatAddr, parseAddr } from "#ip";
import { CLUSTER_NETWORK_POLICIES, type ClusterNetworkPolicyPeer, type ClusterNetworkPolicySpec, NODES, type Resource } from "#kube";
import { formatTable } from "#nft";
import { clusterPolicy } from "../../core/netpol/testing/objects.ts";
import { type Place, type TestPod, udp } from "../portmap/testing/world.ts";
import { TABLE } from "./layout.ts";
import { Conversation, Neighbourhood, reaches } from "./testing/neighbourhood.ts";
import type { LocalPod, Policies } from "./types.ts";

type Pod = TestPod & { readonly local: LocalPod };

const PORT = 8080;
const NOBODY = { tcp: false, udp: false };

let hood: Neighbourhood;
let policies: Policies;
let server: Pod;
let friend: Pod;
let stranger: Pod;
const here = new Set<string>();

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
  for (const key of here) await (key.includes("/") ? hood.remove(policies, key) : hood.removeCluster(policies, key));
  here.clear();
});

async function cluster(name: string, spec: Partial<ClusterNetworkPolicySpec>): Promise<void> {
  here.add(name);
  await hood.applyCluster(policies, name, spec);
}

async function network(key: string, spec: Parameters<Neighbourhood["apply"]>[2]): Promise<void> {
  here.add(key);
  await hood.apply(policies, key, spec);
}

const ALL: ClusterNetworkPolicyPeer = { namespaces: {} };
const named = (name: string): ClusterNetworkPolicyPeer => ({ pods: { podSelector: { matchLabels: { pod: name } } } });
const forServer = { subject: named("server") } as Pick<ClusterNetworkPolicySpec, "subject">;

for (const [index, name] of ["IPv4", "IPv6"].entries()) {
  describe(`tiers over ${name}`, () => {
    const addr = (pod: Pod): string => formatAddr(pod.addrs[index] ?? assert.fail(name));

    async function expectReach(from: Place, to: string, expected: boolean | { tcp: boolean; udp: boolean }): Promise<void> {
      const wanted = typeof expected === "boolean" ? { tcp: expected, udp: expected } : expected;
      assert.deepEqual(await reaches(from, to, PORT, wanted.tcp && wanted.udp), wanted);
    }

    test("Deny keeps out whom a NetworkPolicy lets in; Accept lets in whom one keeps out; the node and the pod itself always come in", async () => {
      await network("x/friends", {
        podSelector: { matchLabels: { pod: "server" } },
        ingress: [{ from: [{ podSelector: { matchLabels: { pod: "friend" } } }] }],
      });
      await expectReach(friend, addr(server), true);
      await expectReach(stranger, addr(server), false);
      await cluster("guard", {
        ...forServer,
        ingress: [
          { action: "Deny", from: [named("friend")] },
          { action: "Accept", from: [named("stranger")] },
        ],
      });
      await expectReach(friend, addr(server), false);
      await expectReach(stranger, addr(server), true);
      await cluster("guard", { ...forServer, ingress: [{ action: "Deny", from: [ALL] }] });
      await expectReach(stranger, addr(server), false);
      await expectReach(hood.world.node, addr(server), true);
      await expectReach(server, addr(server), true);
      await expectReach(server, addr(friend), true);
    });

    test("Pass leaves the tier: to the NetworkPolicy where there is one, to Baseline where there is none", async () => {
      await cluster("first", { ...forServer, priority: 1, ingress: [{ action: "Pass", from: [named("friend")] }] });
      await cluster("second", { ...forServer, priority: 2, ingress: [{ action: "Deny", from: [ALL] }] });
      await expectReach(friend, addr(server), true);
      await expectReach(stranger, addr(server), false);
      await cluster("base", { ...forServer, tier: "Baseline", ingress: [{ action: "Deny", from: [ALL] }] });
      await expectReach(friend, addr(server), false);
      await network("x/open", { podSelector: { matchLabels: { pod: "server" } }, ingress: [{}] });
      await expectReach(friend, addr(server), true);
      await expectReach(stranger, addr(server), false);
    });

    test("of two priorities the lower one counts, and changes sides when they do; what goes is gone", async () => {
      const accept = { ...forServer, ingress: [{ action: "Accept", from: [named("friend")] }] };
      await cluster("accept", { ...accept, priority: 20 });
      await cluster("deny", { ...forServer, priority: 10, ingress: [{ action: "Deny", from: [ALL] }] });
      await expectReach(friend, addr(server), false);
      await cluster("accept", { ...accept, priority: 5 });
      const open = await Conversation.start(friend, addr(server), PORT);
      assert.equal(await open.goesOn(true), true);
      await expectReach(stranger, addr(server), false);
      await cluster("accept", { ...accept, priority: 20 });
      assert.equal(await open.goesOn(false), false);
      here.delete("deny");
      await hood.removeCluster(policies, "deny");
      assert.equal(await open.goesOn(true), true);
      await expectReach(stranger, addr(server), true);
      open.close();
    });

    test("egress: accepted here still needs consent there; a port, a named one, a range", async () => {
      const forFriend = { subject: named("friend") } as Pick<ClusterNetworkPolicySpec, "subject">;
      await cluster("out", { ...forFriend, egress: [{ action: "Accept", to: [ALL] }] });
      await network("x/closed", { podSelector: { matchLabels: { pod: "server" } } });
      await expectReach(friend, addr(server), false);
      await expectReach(friend, addr(stranger), true);
      const ports = [{ destinationNamedPort: "http" }, { udp: { destinationPort: { range: { start: PORT + 1, end: PORT + 9 } } } }];
      await cluster("out", {
        ...forFriend,
        egress: [
          { action: "Accept", to: [named("stranger")], protocols: ports },
          { action: "Deny", to: [{ networks: ["0.0.0.0/0", "::/0"] }] },
        ],
      });
      await expectReach(friend, addr(stranger), { tcp: true, udp: false });
      assert.equal(await udp(friend, addr(stranger), PORT + 1), "ECONNREFUSED", "an ICMP error about what is accepted comes back");
    });

    test("nodes by their labels; the own node is always reached", async () => {
      const outside = index === 0 ? "172.18.0.1" : "fd00:18::1";
      const own = index === 0 ? "172.18.0.11" : "fd00:18::11";
      hood.world.serve(hood.world.outside, "outside", [parseAddr(outside)], 9100 + index);
      hood.world.serve(hood.world.node, "node", [parseAddr(own)], 9200 + index);
      for (const [node, address] of [
        ["other", outside],
        ["node-1", own],
      ] as const) {
        hood.client.seed(NODES, {
          apiVersion: "v1",
          kind: "Node",
          metadata: { name: `${node}-${index}`, labels: { kind: "worker" } },
          status: { addresses: [{ type: "InternalIP", address }] },
        });
      }
      await cluster("nodes", { egress: [{ action: "Deny", to: [{ nodes: { matchLabels: { kind: "worker" } } }] }] });
      const isInSet = (): boolean => new RegExp(`[ {]${outside}[ ,]`).test(text());
      await until(isInSet);
      assert.deepEqual(await reaches(friend, outside, 9100 + index, false), NOBODY);
      assert.deepEqual(await reaches(friend, own, 9200 + index, true), { tcp: true, udp: true });
      await hood.client.patch(NODES, { name: `other-${index}` }, { type: "merge", body: { metadata: { labels: { kind: "router" } } } });
      await until(() => !isInSet());
      assert.deepEqual(await reaches(friend, outside, 9100 + index, true), { tcp: true, udp: true });
    });
  });
}

function text(): string {
  return formatTable(hood.world.options.nft.list(TABLE) ?? assert.fail("there is no table"));
}

async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setImmediate(resolve));
}

describe("life", () => {
  test("a namespace's labels make its pods subjects", async () => {
    const to = formatAddr(stranger.addrs[0] ?? assert.fail());
    const subject = { namespaces: { matchLabels: { quarantine: "yes" } } };
    hood.client.seed(CLUSTER_NETWORK_POLICIES, {
      ...clusterPolicy("quarantine", { subject, ingress: [{ action: "Deny", from: [ALL] }] }),
      metadata: { name: "quarantine" },
    });
    assert.deepEqual(await reaches(friend, to, PORT, true), { tcp: true, udp: true });
    await hood.label(policies, "y", { ns: "y", quarantine: "yes" });
    assert.deepEqual(await reaches(friend, to, PORT, false), NOBODY);
    await hood.label(policies, "y", { ns: "y", quarantine: "no" });
    assert.deepEqual(await reaches(friend, to, PORT, true), { tcp: true, udp: true });
    await hood.client.delete(CLUSTER_NETWORK_POLICIES, { name: "quarantine" });
  });

  test("an agent that comes back changes nothing; what policies select it closes before a pod is let in", async () => {
    const nodes = { action: "Deny", to: [{ nodes: {} }] };
    const ingress = [
      { action: "Pass", from: [named("friend")] },
      { action: "Deny", from: [ALL] },
    ];
    await cluster("guard", { ...forServer, ingress, egress: [nodes] });
    await cluster("base", {
      tier: "Baseline",
      ingress: [{ action: "Accept", from: [ALL], protocols: [{ destinationNamedPort: "http" }] }],
    });
    const { nft } = hood.world.options;
    const found = nft.list(TABLE);
    policies.stop();
    const generation = nft.generation();
    policies = hood.start([server, friend, stranger].map(({ local }) => local));
    await policies.ready;
    assert.equal(nft.generation(), generation);
    assert.deepEqual(nft.list(TABLE), found);
    const to = formatAddr(server.addrs[0] ?? assert.fail());
    assert.deepEqual([await reaches(friend, to, PORT, true), await reaches(stranger, to, PORT, false)], [{ tcp: true, udp: true }, NOBODY]);
    const late = hood.pod("y/server");
    hood.client.seed(CLUSTER_NETWORK_POLICIES, {
      ...clusterPolicy("late", { ...forServer, egress: [{ action: "Deny", to: [ALL] }] }),
      metadata: { name: "late" },
    });
    here.add("late");
    await policies.add(late.local);
    assert.deepEqual(await reaches(late, formatAddr(friend.addrs[0] ?? assert.fail()), PORT, false), NOBODY);
    policies.del(late.local.containerId);
  });

  test("an API without the kind: no such policies, and all else as ever", async () => {
    const absent = new ApiError("list", { code: 404, reason: "NotFound", message: "404 page not found" });
    const client: Client = new Proxy<Client>(hood.client, {
      get: (target, key: keyof Client) => {
        if (key !== "watch" && key !== "list") return target[key];
        return (resource: Resource, options: object) => {
          if (resource === CLUSTER_NETWORK_POLICIES) throw absent;
          return target[key](resource, options);
        };
      },
    });
    const warned: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (message) => warned.push(message), child: () => logger };
    const other = hood.start([], { client, logger });
    await other.ready;
    await other.add(server.local);
    other.stop();
    assert.deepEqual(warned, []);
  });
});
