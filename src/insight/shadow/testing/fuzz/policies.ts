// Random NetworkPolicies, out of few values, so that they meet pods and each other.
import type { LabelSelector, LabelSelectorRequirement } from "kubernetes-types/meta/v1";
import type { NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec } from "kubernetes-types/networking/v1";
import type { ClusterNetworkPolicy, ClusterNetworkPolicyPeer, ClusterNetworkPolicyProtocol, Stored } from "#kube";
import type { NetworkPolicy } from "#netpol";
import { clusterPolicy } from "../../../../core/netpol/testing/objects.ts";
import { networkPolicy } from "../objects.ts";
import type { Chance } from "./random.ts";

type Labels = Readonly<Record<string, string>>;

const POD_VALUES: Readonly<Record<string, readonly string[]>> = { app: ["web", "db", "job"], tier: ["front", "back"] };
const NODE_VALUES: Readonly<Record<string, readonly string[]>> = { "topology.kubernetes.io/zone": ["east", "west"] };
const NAMESPACE_VALUES: Readonly<Record<string, readonly string[]>> = { env: ["prod", "test"], team: ["red"] };

export const PORTS: readonly number[] = [53, 80, 81, 8080];
const PORT_NAMES: readonly string[] = ["http", "dns"];
export const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

export function podLabels(chance: Chance): Labels {
  return labelsOf(chance, POD_VALUES);
}

export function namespaceLabels(chance: Chance): Labels {
  return labelsOf(chance, NAMESPACE_VALUES);
}

function labelsOf(chance: Chance, values: Readonly<Record<string, readonly string[]>>): Labels {
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, all]) => (chance.is(0.8) ? [[key, chance.one(all)] as [string, string]] : [])),
  );
}

function selector(chance: Chance, values: Readonly<Record<string, readonly string[]>>): LabelSelector {
  if (chance.is(0.25)) return {};
  const matchLabels = Object.fromEntries(
    Object.entries(values).flatMap(([key, all]) => (chance.is(0.4) ? [[key, chance.one(all)] as [string, string]] : [])),
  );
  const matchExpressions = chance.is(0.3) ? [requirement(chance, values)] : undefined;
  return {
    ...(Object.keys(matchLabels).length > 0 && { matchLabels }),
    ...(matchExpressions !== undefined && { matchExpressions }),
  };
}

function requirement(chance: Chance, values: Readonly<Record<string, readonly string[]>>): LabelSelectorRequirement {
  const [key, all] = chance.one(Object.entries(values));
  const operator = chance.one(["In", "NotIn", "Exists", "DoesNotExist"]);
  if (operator === "Exists" || operator === "DoesNotExist") return { key, operator };
  const chosen = chance.some(all, 0.5);
  return { key, operator, values: chosen.length > 0 ? chosen : [chance.one(all)] };
}

/** What address blocks may be about: each with blocks inside it. */
const BLOCKS: Readonly<Record<string, readonly string[]>> = {
  "0.0.0.0/0": ["10.244.1.0/24", "10.244.0.0/16", "172.18.0.0/16", "203.0.113.0/24"],
  "10.244.0.0/16": ["10.244.1.0/24", "10.244.2.0/24", "10.244.1.1/32", "10.244.2.2/31"],
  "10.244.1.0/24": ["10.244.1.2/32", "10.244.1.0/30", "10.244.1.1/32"],
  "172.18.0.0/16": ["172.18.0.11/32", "172.18.0.12/31"],
  "203.0.113.0/24": ["203.0.113.2/32"],
  "::/0": ["fd00:10:244::/56", "fd00:18::/64", "2001:db8:113::/64"],
  "fd00:10:244::/56": ["fd00:10:244:1::/64", "fd00:10:244:2::2/127", "fd00:10:244:1::1/128"],
  "fd00:10:244:2::/64": ["fd00:10:244:2::2/128", "fd00:10:244:2::/126"],
  "fd00:18::/64": ["fd00:18::12/128"],
  "2001:db8:113::/64": ["2001:db8:113::2/128"],
};

function block(chance: Chance): NonNullable<NetworkPolicyPeer["ipBlock"]> {
  const [cidr, inside] = chance.one(Object.entries(BLOCKS));
  if (chance.is(0.3)) return { cidr: chance.one(inside) };
  const except = chance.is(0.5) ? chance.some(inside, 0.4) : [];
  return { cidr, ...(except.length > 0 && { except }) };
}

function peer(chance: Chance): NetworkPolicyPeer {
  if (chance.is(0.35)) return { ipBlock: block(chance) };
  const podSelector = chance.is(0.6) ? selector(chance, POD_VALUES) : undefined;
  const namespaceSelector = podSelector === undefined || chance.is(0.4) ? selector(chance, NAMESPACE_VALUES) : undefined;
  return { ...(podSelector && { podSelector }), ...(namespaceSelector && { namespaceSelector }) };
}

function port(chance: Chance): NetworkPolicyPort {
  const protocol = chance.is(0.7) ? { protocol: chance.one(PROTOCOLS) } : {};
  if (chance.is(0.15)) return { ...protocol };
  if (chance.is(0.3)) return { ...protocol, port: chance.one(PORT_NAMES) };
  const number = chance.one(PORTS);
  return { ...protocol, port: number, ...(chance.is(0.3) && { endPort: number + chance.one([0, 1, 30]) }) };
}

interface Rule {
  readonly peers: NetworkPolicyPeer[];
  readonly ports: NetworkPolicyPort[];
}

function rule(chance: Chance): Rule {
  return {
    peers: chance.is(0.8) ? chance.list(1, 3, () => peer(chance)) : [],
    ports: chance.is(0.55) ? chance.list(1, 3, () => port(chance)) : [],
  };
}

/** What the API takes: exactly one field in each peer, protocol and subject; nodes, networks and names only where they may be. */
export function randomClusterPolicy(chance: Chance, name: string): Stored<ClusterNetworkPolicy> {
  const peers = { selected: () => selectedPeer(chance), any: () => (chance.is(0.5) ? selectedPeer(chance) : addressedPeer(chance)) };
  const rule = (own: readonly ClusterNetworkPolicyPeer[]): { action: string; protocols?: ClusterNetworkPolicyProtocol[] } => {
    // An address has no names of ports.
    const named = own.every((one) => one.networks === undefined && one.nodes === undefined);
    const protocols = chance.is(0.5) ? { protocols: chance.list(1, 3, () => clusterProtocol(chance, named)) } : {};
    return { action: chance.one(["Accept", "Deny", "Pass"]), ...protocols };
  };
  const lists = (make: () => ClusterNetworkPolicyPeer): ClusterNetworkPolicyPeer[][] => chance.list(0, 3, () => chance.list(1, 2, make));
  return clusterPolicy(name, {
    tier: chance.one(["Admin", "Baseline"]),
    priority: chance.int(0, 3),
    subject: selectedPeer(chance),
    ingress: lists(peers.selected).map((from) => ({ from, ...rule(from) })),
    egress: lists(peers.any).map((to) => ({ to, ...rule(to) })),
  });
}

function selectedPeer(chance: Chance): Pick<ClusterNetworkPolicyPeer, "namespaces" | "pods"> {
  if (chance.is(0.5)) return { namespaces: selector(chance, NAMESPACE_VALUES) };
  return { pods: { podSelector: selector(chance, POD_VALUES), namespaceSelector: selector(chance, NAMESPACE_VALUES) } };
}

function addressedPeer(chance: Chance): ClusterNetworkPolicyPeer {
  if (chance.is(0.4)) return { nodes: selector(chance, NODE_VALUES) };
  return { networks: chance.list(1, 2, () => chance.one(Object.keys(BLOCKS))) };
}

function clusterProtocol(chance: Chance, named: boolean): ClusterNetworkPolicyProtocol {
  if (named && chance.is(0.3)) return { destinationNamedPort: chance.one(PORT_NAMES) };
  const number = chance.one(PORTS);
  const destinationPort = chance.is(0.3) ? { range: { start: number, end: number + chance.one([0, 1, 30]) } } : { number };
  return { [chance.one(["tcp", "udp", "sctp"])]: { destinationPort } };
}

export function randomPolicy(chance: Chance, namespace: string, name: string): Stored<NetworkPolicy> {
  const ingress = chance.is(0.7) ? chance.list(0, 3, () => rule(chance)) : undefined;
  const egress = chance.is(0.5) ? chance.list(0, 3, () => rule(chance)) : undefined;
  const policyTypes = chance.is(0.6) ? chance.one([["Ingress"], ["Egress"], ["Ingress", "Egress"]]) : undefined;
  const spec: NetworkPolicySpec = {
    podSelector: selector(chance, POD_VALUES),
    ...(policyTypes && { policyTypes }),
    ...(ingress && {
      ingress: ingress.map(({ peers, ports }) => ({ ...(peers.length > 0 && { from: peers }), ...(ports.length > 0 && { ports }) })),
    }),
    ...(egress && {
      egress: egress.map(({ peers, ports }) => ({ ...(peers.length > 0 && { to: peers }), ...(ports.length > 0 && { ports }) })),
    }),
  };
  return networkPolicy(`${namespace}/${name}`, spec);
}
