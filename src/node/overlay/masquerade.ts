// The source address of pods that leave the pod network: nobody outside knows a way back to it. Pure; masquerade-reconcile.ts acts.
import { FAMILIES, type Family, type Prefix, parsePrefix } from "#ip";
import {
  type Datatype,
  type Expr,
  inPrefix,
  inSet,
  type NftSet,
  ofFamily,
  payload,
  prefixInterval,
  type Rule,
  type Table,
  type TableId,
} from "#nft";

export const MASQUERADE_TABLE: TableId = { family: "inet", name: "fairlead-masquerade" };

const ADDR: Readonly<Record<Family, Datatype>> = { 4: "ipv4_addr", 6: "ipv6_addr" };
const MULTICAST: Readonly<Record<Family, Prefix>> = { 4: parsePrefix("224.0.0.0/4"), 6: parsePrefix("ff00::/8") };

/**
 * After all who translate connections to Services and host ports at 100 (NF_IP_PRI_NAT_SRC): of several chains the first that
 * translates is the last that is asked, and those remember things about the connection.
 */
const PRIORITY = 101;

/** `podCidrs` are the whole cluster's: pods see each other with their own addresses. Those with which a packet ends at the node never come here. */
export function compileMasquerade(podCidrs: readonly Prefix[]): Table {
  return {
    ...MASQUERADE_TABLE,
    comment: "Pods that leave the cluster, by Fairlead",
    sets: FAMILIES.map((family) => podSet(family, podCidrs)),
    chains: [
      {
        name: "nat-postrouting",
        base: { type: "nat", hook: "postrouting", priority: PRIORITY, policy: "accept" },
        rules: FAMILIES.map(leavingRule),
      },
    ],
  };
}

function podSet(family: Family, podCidrs: readonly Prefix[]): NftSet {
  const own = podCidrs.filter(({ addr }) => addr.family === family);
  return {
    name: setName(family),
    key: [ADDR[family]],
    flags: ["interval"],
    elements: own.map((cidr) => ({ key: [prefixInterval(cidr)] })),
  };
}

function setName(family: Family): string {
  return `pod-cidrs${family}`;
}

/** Ports are chosen at random, so that two connections that leave at a time seldom want the same one (kubernetes/kubernetes#56903). */
function leavingRule(family: Family): Rule {
  const source: Expr = payload(family === 4 ? "ip saddr" : "ip6 saddr");
  const destination: Expr = payload(family === 4 ? "ip daddr" : "ip6 daddr");
  return {
    statements: [
      ofFamily(family),
      inSet(source, setName(family)),
      inSet(destination, setName(family), true),
      inPrefix(destination, MULTICAST[family], true),
      { kind: "masquerade", flags: ["fully-random"] },
    ],
  };
}
