// All checks, and those of them that were asked for. Pure.
import { InputError } from "#base";
import { addressesInBlocks, disjointPodCidrs, uniqueAddresses } from "./addresses.ts";
import { nothingLeaked } from "./leaks.ts";
import { agentsHealthy, clocksAgree, conntrackRoom, kernelSettings } from "./nodes.ts";
import { forwardingComplete, linksUp, neighboursComplete, podsConnected, routesComplete, sameMtu } from "./paths.ts";
import { policiesSelect } from "./policies.ts";
import { dnsAnswers, endpointsReachable, fullSizePackets } from "./probes.ts";
import { tablesAsDesired } from "./tables.ts";
import type { Check, CheckResult, Facts } from "./types.ts";

/** By number. */
export const CHECKS: readonly Check[] = [
  agentsHealthy,
  uniqueAddresses,
  addressesInBlocks,
  disjointPodCidrs,
  linksUp,
  podsConnected,
  routesComplete,
  neighboursComplete,
  forwardingComplete,
  sameMtu,
  fullSizePackets,
  tablesAsDesired,
  dnsAnswers,
  endpointsReachable,
  nothingLeaked,
  clocksAgree,
  conntrackRoom,
  policiesSelect,
  kernelSettings,
];

/** `3,7` or `5-9,12`. Throws InputError for what is no check. */
export function parseOnly(text: string): ReadonlySet<number> {
  const numbers = text.split(",").flatMap((part) => {
    const [, from, to] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    const [first, last] = [Number(from), Number(to ?? from)];
    const own = CHECKS.map(({ number }) => number).filter((number) => first <= number && number <= last);
    const isWhole = own.includes(first) && own.includes(last);
    if (!isWhole) throw new InputError("--only", `"${part}" is no check; there are 1 to ${CHECKS.length}, such as "3,7" or "5-9"`);
    return own;
  });
  return new Set(numbers);
}

/** Those that look at what was sent. */
export const PROBING: ReadonlySet<number> = new Set([fullSizePackets, dnsAnswers, endpointsReachable].map(({ number }) => number));

export interface RunOptions {
  readonly only?: ReadonlySet<number> | undefined;
  /** Default true. False: those in `PROBING` are left out. */
  readonly isProbing?: boolean;
}

export function runChecks(facts: Facts, { only, isProbing = true }: RunOptions = {}): CheckResult[] {
  const asked = CHECKS.filter(({ number }) => (only?.has(number) ?? true) && (isProbing || !PROBING.has(number)));
  return asked.map(({ number, title, proves, unit, ...check }) => {
    const { examined, failures, warnings = [] } = check.run(facts);
    return { number, title, proves, unit, examined, failures, warnings, passed: failures.length === 0 };
  });
}
