import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, NodeAddress } from "kubernetes-types/core/v1";
import { formatAddr, formatPrefix, parsePrefix } from "#ip";
import type { Stored } from "#kube";
import { peersOf } from "./nodes.ts";

function node(name: string, created: string, spec: Node["spec"], annotations: Record<string, string> = {}): Stored<Node> {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, uid: name, resourceVersion: "1", creationTimestamp: created, annotations },
    ...(spec === undefined ? {} : { spec }),
    status: {
      addresses: [
        { type: "Hostname", address: name },
        { type: "InternalIP", address: "172.18.0.12" },
        { type: "InternalIP", address: "fd00:18::12" },
        { type: "ExternalIP", address: "203.0.113.9" },
      ],
    },
  };
}

const CLUSTER = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")];

test("peers come in the order of their age, with the addresses that nodes reach each other by", () => {
  const { peers, problems } = peersOf(
    [
      node("node-3", "2026-01-02T00:00:00Z", { podCIDR: "10.244.3.0/24" }, { "fairlead.dev/vtep-mac": "02:66:ac:12:00:0d" }),
      node("node-2", "2026-01-01T00:00:00Z", { podCIDR: "10.244.2.0/24", podCIDRs: ["10.244.2.0/24", "fd00:10:244:2::/64"] }),
      node("node-4", "2026-01-03T00:00:00Z", undefined),
    ],
    CLUSTER,
  );
  assert.deepEqual(
    peers.map((peer) => [peer.name, peer.addrs.map(formatAddr).join(" "), peer.podCidrs.map(formatPrefix).join(" "), peer.vtepMac?.length]),
    [
      ["node-2", "172.18.0.12 fd00:18::12", "10.244.2.0/24 fd00:10:244:2::/64", undefined],
      ["node-3", "172.18.0.12 fd00:18::12", "10.244.3.0/24", 6],
      ["node-4", "172.18.0.12 fd00:18::12", "", undefined],
    ],
  );
  assert.deepEqual(problems, []);
});

test("a Pod CIDR that would draw the cluster's or the world's traffic is refused", () => {
  const { peers, problems } = peersOf(
    [node("evil", "2026-01-01T00:00:00Z", { podCIDRs: ["0.0.0.0/0", "10.96.0.0/16", "10.244.5.0/24"] })],
    CLUSTER,
  );
  assert.deepEqual(peers[0]?.podCidrs.map(formatPrefix), ["10.244.5.0/24"]);
  assert.deepEqual(
    problems.map((problem) => problem.reason),
    ["PodCidrOutsideCluster", "PodCidrOutsideCluster"],
  );
});

test("an address that is none is ignored and told, and the node's others count", () => {
  const odd = node("odd", "2026-01-01T00:00:00Z", { podCIDR: "10.244.2.0/24" });
  const addresses = [{} as NodeAddress, ...(odd.status?.addresses ?? [])];
  const { peers, problems } = peersOf([{ ...odd, status: { addresses } }], CLUSTER);
  assert.deepEqual(peers[0]?.addrs.map(formatAddr), ["172.18.0.12", "fd00:18::12"]);
  assert.deepEqual(problems, [
    { node: "odd", reason: "BadAddress", message: "{} in status.addresses of node odd is not an IP address: ignored" },
  ]);
});

test("a Node that cannot be read is left out by name, and the others stay", () => {
  const { peers, problems } = peersOf(
    [
      node("a", "2026-01-01T00:00:00Z", { podCIDRs: ["10.244.1.0"] }),
      node("b", "2026-01-01T00:00:01Z", { podCIDRs: ["10.244.2.0/24"] }, { "fairlead.dev/vtep-mac": "nonsense" }),
      node("c", "2026-01-01T00:00:02Z", { podCIDRs: ["10.244.3.0/24"] }),
    ],
    CLUSTER,
  );
  assert.deepEqual(
    peers.map((peer) => peer.name),
    ["c"],
  );
  assert.match(
    problems[0]?.message ?? "",
    /Node a is left out of the overlay: spec\.podCIDRs\[0\]: "10\.244\.1\.0" is not an address block/,
  );
  assert.match(problems[1]?.message ?? "", /Node b is left out of the overlay: metadata\.annotations\[fairlead\.dev\/vtep-mac\]/);
});
