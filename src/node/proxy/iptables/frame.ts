// The chains that do not depend on Services, and the rules of the kernel's own chains that lead into ours.
import type { Family, Prefix } from "#ip";
import { TCP } from "#nft";
import type { ClusterCidrs } from "../types.ts";
import { FRAME } from "./names.ts";
import { type Chains, formatRule, type Rule, type TableName } from "./rules.ts";

/** A jump from a chain of the kernel's. */
export interface Entry {
  readonly chain: string;
  readonly rule: string;
}

const COMMENT = "Fairlead services";

function entry(chain: string, to: string, rule: Partial<Rule> = {}): Entry {
  return { chain, rule: formatRule({ ...rule, comment: COMMENT, target: { kind: "jump", chain: to } }) };
}

/**
 * Filtering is for new connections alone: established ones outlive their endpoints. `nat` sees only those anyway. Not in PREROUTING,
 * where nothing can be refused before Linux 5.9.
 */
export const ENTRIES: Readonly<Record<TableName, readonly Entry[]>> = {
  filter: ["INPUT", "FORWARD", "OUTPUT"].map((chain) => entry(chain, FRAME.filter, { isNew: true })),
  nat: [entry("PREROUTING", FRAME.services), entry("OUTPUT", FRAME.services), entry("POSTROUTING", FRAME.postrouting)],
};

/** FRAME.services and FRAME.filter, which lead to frontends, are not among them; `filterTail` is what the latter ends with. */
export function frameChains(family: Family, cidrs: ClusterCidrs): Readonly<Record<TableName, Chains>> {
  const of = (prefixes: readonly Prefix[]): Prefix[] => prefixes.filter(({ addr }) => addr.family === family);
  const nat = natChains(of(cidrs.podCidrs), of(cidrs.localPodCidrs ?? cidrs.podCidrs));
  return { filter: new Map([[FRAME.refuse, refuseRules(family)]]), nat };
}

/** Addresses for ClusterIPs that are none. Dropped, not refused: one may come up within the second in which clients try again. */
export function filterTail(family: Family, { serviceCidrs }: ClusterCidrs): Rule[] {
  return serviceCidrs
    .filter(({ addr }) => addr.family === family)
    .map((dst) => ({ dst, comment: "no such ClusterIP", target: { kind: "drop" } }));
}

function refuseRules(family: Family): Rule[] {
  return [
    { protocol: TCP, target: { kind: "reject", with: "tcp-reset" } },
    { target: { kind: "reject", with: family === 4 ? "icmp-port-unreachable" : "icmp6-port-unreachable" } },
  ];
}

function natChains(pods: readonly Prefix[], localPods: readonly Prefix[]): Map<string, readonly Rule[]> {
  const toMasquerade: Rule["target"] = { kind: "mark", bit: "masquerade", on: true };
  const inside: Rule["target"] = { kind: "mark", bit: "inside", on: true };
  const leave: Rule["target"] = { kind: "return" };
  return new Map<string, readonly Rule[]>([
    [FRAME.fromOutside, [...pods.map((src): Rule => ({ src, target: leave })), { target: toMasquerade }]],
    [
      FRAME.inside,
      [
        // Somebody else's, if it is set: nobody has looked at this connection yet.
        { target: { kind: "mark", bit: "inside", on: false } },
        { fromNode: true, target: inside },
        ...localPods.map((src): Rule => ({ src, target: inside })),
      ],
    ],
    [FRAME.masquerade, [{ target: { kind: "mark", bit: "masquerade", on: false } }, { target: { kind: "masquerade" } }]],
    [
      FRAME.postrouting,
      [
        { marked: "inside", target: { kind: "mark", bit: "inside", on: false } },
        { marked: "masquerade", target: { kind: "jump", chain: FRAME.masquerade } },
      ],
    ],
  ]);
}
