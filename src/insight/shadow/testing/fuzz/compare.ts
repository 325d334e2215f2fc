// One question, answered by the model over the shadow and by the reference; and what of a cluster is needed for them to differ.
import { formatAddr } from "#ip";
import { type Network, prepareNetwork, type Question, type RoundTrip, roundTrips } from "#model";
import { createShadow } from "../../shadow.ts";
import type { ShadowObjects, ShadowOptions } from "../../types.ts";
import { type Expected, type Listening, Reference } from "./reference.ts";

export interface Setting {
  readonly overlay: "vxlan" | "host-gw";
  readonly options: ShadowOptions;
  readonly listening: Listening;
}

export interface Disagreement {
  readonly question: Question;
  /** What the model foresees, and what is promised: all ways, sorted. */
  readonly model: readonly string[];
  readonly expected: readonly string[];
}

export function foreseen({ outcome }: RoundTrip): string {
  if (outcome.kind !== "answered") return outcome.kind;
  return `answered by ${outcome.by}, seen as ${formatAddr(outcome.seenAs.addr)}`;
}

function promised(expected: Expected): string {
  if (expected.kind !== "answered") return expected.kind;
  return expected.seenAs === undefined
    ? `answered by ${expected.by}`
    : `answered by ${expected.by}, seen as ${formatAddr(expected.seenAs)}`;
}

function waysOf(network: Network, question: Question): readonly string[] {
  return sorted(roundTrips(network, question, { record: false }).map(({ result }) => foreseen(result)));
}

function sorted(list: readonly string[]): string[] {
  return [...new Set(list)].sort();
}

/** Undefined: they agree. */
export function compare(network: Network, reference: Reference, question: Question): Disagreement | undefined {
  const expected = sorted(reference.expect(question).map(promised));
  const ways = waysOf(network, question);
  // Where nothing is promised of the address, any will do.
  const isPromised = (way: string): boolean =>
    expected.some((one) => one === way || (!one.includes("seen as") && way.startsWith(`${one},`)));
  const comes = (one: string): boolean => ways.some((way) => way === one || way.startsWith(`${one},`));
  return ways.every(isPromised) && expected.every(comes) ? undefined : { question, model: ways, expected };
}

function disagree(objects: ShadowObjects, { overlay, options, listening }: Setting, question: Question): Disagreement | undefined {
  try {
    const network = prepareNetwork(createShadow({ ...options, overlay }).network(objects));
    return compare(network, new Reference(objects, overlay, listening), question);
  } catch {
    // What is left makes no sense: who asks, or the node of a pod, is gone.
    return undefined;
  }
}

const LISTS = ["clusterNetworkPolicies", "networkPolicies", "services", "endpointSlices", "pods", "namespaces"] as const;

/** A part of the objects that is enough for the disagreement. */
export function shrink(objects: ShadowObjects, setting: Setting, question: Question): ShadowObjects {
  let smallest = objects;
  for (let again = true; again; ) {
    again = false;
    for (const next of smaller(smallest)) {
      if (disagree(next, setting, question) === undefined) continue;
      smallest = next;
      again = true;
      break;
    }
  }
  return smallest;
}

function* smaller(objects: ShadowObjects): Generator<ShadowObjects> {
  for (const list of LISTS) {
    const own: readonly unknown[] = objects[list] ?? [];
    for (let i = 0; i < own.length; i++) yield { ...objects, [list]: own.toSpliced(i, 1) };
  }
  for (const [i, policy] of objects.networkPolicies.entries()) {
    for (const direction of ["ingress", "egress"] as const) {
      const rules = policy.spec?.[direction] ?? [];
      for (let n = 0; n < rules.length; n++) {
        const spec = { ...policy.spec, podSelector: policy.spec?.podSelector ?? {}, [direction]: rules.toSpliced(n, 1) };
        yield { ...objects, networkPolicies: objects.networkPolicies.with(i, { ...policy, spec }) };
      }
    }
  }
  const clusterPolicies = objects.clusterNetworkPolicies ?? [];
  for (const [i, policy] of clusterPolicies.entries()) {
    const { spec } = policy;
    if (spec === undefined) continue;
    for (const direction of ["ingress", "egress"] as const) {
      const rules: readonly unknown[] = spec[direction] ?? [];
      for (let n = 0; n < rules.length; n++) {
        const less = { ...policy, spec: { ...spec, [direction]: rules.toSpliced(n, 1) } };
        yield { ...objects, clusterNetworkPolicies: clusterPolicies.with(i, less) };
      }
    }
  }
  for (const [i, slice] of objects.endpointSlices.entries()) {
    for (let n = 0; n < slice.endpoints.length; n++) {
      yield { ...objects, endpointSlices: objects.endpointSlices.with(i, { ...slice, endpoints: slice.endpoints.toSpliced(n, 1) }) };
    }
  }
}
