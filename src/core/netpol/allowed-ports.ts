// At which ports one end may reach another. Pure.
import { addrEquals } from "#ip";
import { clusterPorts, clusterSteps, matchesClusterPeer } from "./cluster-decide.ts";
import type { ClusterTier } from "./cluster-types.ts";
import type { Flow, FlowEnd, World } from "./judge-types.ts";
import { endsOf, isolatingPolicies, matchesPeer, portOfName, subjectOf } from "./match.ts";
import { EVERYTHING, intersectPorts, isEmptyPorts, NO_PORTS, type PortSet, portSet, subtractPorts, unionPorts } from "./port-sets.ts";
import { type RuleTerms, termsOf } from "./terms.ts";
import type { Direction, Policy } from "./types.ts";

export type Ends = Pick<Flow, "from" | "to">;

/** All ports at which the one end may reach the other. */
export function allowedPorts(world: World, ends: Ends): PortSet {
  return intersectPorts(portsOfDirection(world, ends, "egress"), portsOfDirection(world, ends, "ingress"));
}

function portsOfDirection(world: World, ends: Ends, direction: Direction): PortSet {
  const { own, other } = endsOf({ ...ends, protocol: 0 }, direction);
  const subject = subjectOf(own);
  if (subject === undefined || addrEquals(own.addr, other.addr) || other.isOwnNode === true) return EVERYTHING;
  const admin = askTier(world, ends, { tier: "admin", direction }, EVERYTHING);
  if (isEmptyPorts(admin.open)) return admin.accepted;
  const isolating = isolatingPolicies(world, subject, direction);
  if (isolating.length > 0)
    return unionPorts(admin.accepted, intersectPorts(admin.open, portsOfPolicies(world, ends, { isolating, direction })));
  const baseline = askTier(world, ends, { tier: "baseline", direction }, admin.open);
  return unionPorts(admin.accepted, unionPorts(baseline.accepted, baseline.open));
}

/** `open`: what the tier leaves to those after it. */
function askTier(
  world: World,
  ends: Ends,
  at: { readonly tier: ClusterTier; readonly direction: Direction },
  asked: PortSet,
): { readonly accepted: PortSet; readonly open: PortSet } {
  const { own, other } = endsOf({ ...ends, protocol: 0 }, at.direction);
  let [rest, accepted, passed] = [asked, NO_PORTS, NO_PORTS];
  for (const step of own.pod === undefined ? [] : clusterSteps(world, own.pod, at)) {
    if (!matchesClusterPeer(world, step.rule, other)) continue;
    const ports = intersectPorts(rest, clusterPorts(world, step, ends.to));
    rest = subtractPorts(rest, ports);
    if (step.rule.action === "accept") accepted = unionPorts(accepted, ports);
    if (step.rule.action === "pass") passed = unionPorts(passed, ports);
  }
  return { accepted, open: unionPorts(rest, passed) };
}

function portsOfPolicies(
  world: World,
  ends: Ends,
  { isolating, direction }: { readonly isolating: readonly Policy[]; readonly direction: Direction },
): PortSet {
  const { other } = endsOf({ ...ends, protocol: 0 }, direction);
  let ports = NO_PORTS;
  for (const policy of isolating) {
    for (const rule of termsOf(policy)) {
      if (rule.direction !== direction) continue;
      const isPeer = rule.peers?.some((term) => matchesPeer(world, policy, term, other)) ?? true;
      if (isPeer) ports = unionPorts(ports, portsOfRule(rule, ends.to));
    }
  }
  return ports;
}

function portsOfRule({ ports }: RuleTerms, destination: FlowEnd): PortSet {
  if (ports === undefined) return EVERYTHING;
  return portSet(
    ports.flatMap((term) => {
      if (term.kind === "nothing") return [];
      if (term.kind === "numbers") return [term.interval];
      const port = portOfName(term, destination);
      return port === undefined ? [] : [{ protocol: term.protocol, first: port, last: port }];
    }),
  );
}
