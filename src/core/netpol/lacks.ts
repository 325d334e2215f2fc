// What keeps a rule from allowing a flow, entry by entry. Pure.
import { formatAddr } from "#ip";
import { type LabelRequirement, type Labels, matchLabels, type ParsedLabelSelector } from "#kube";
import { formatTerm, labelText } from "./decide.ts";
import type { Flow, FlowEnd, Lack, LackKind, World } from "./judge-types.ts";
import { isInBlock, matchesPort, portOfName, subjectOf } from "./match.ts";
import type { PeerTerm, Placed, PortTerm } from "./terms.ts";
import type { PeerSelector, Policy } from "./types.ts";
import { blockText, endText, portTermText, portText, protocolText, selectorText } from "./words.ts";

export interface Missing {
  readonly lacks: readonly Lack[];
  readonly matched: readonly { readonly what: LackKind; readonly path: string; readonly text: string }[];
  /** Terms of selectors that labels could satisfy. */
  readonly pods: ParsedLabelSelector;
  readonly namespaces: ParsedLabelSelector;
  /** False where no label makes the end match. */
  readonly isAboutLabels: boolean;
}

const NOTHING: Missing = { lacks: [], matched: [], pods: [], namespaces: [], isAboutLabels: false };

export function missingOfPeer(world: World, policy: Policy, term: Placed<PeerTerm>, end: FlowEnd): Missing {
  const { path } = term;
  if (term.kind === "block") {
    const text = `${formatAddr(end.addr)} is ${isInBlock(term.block, end) ? "" : "not "}in ${blockText(term.block)}`;
    if (isInBlock(term.block, end)) return { ...NOTHING, matched: [{ what: "block", path, text }] };
    return { ...NOTHING, lacks: [{ what: "block", expected: blockText(term.block), actual: formatAddr(end.addr), path, text }] };
  }
  if (term.kind === "nothing")
    return lackOf("peer", "a peer that can be understood", { actual: endText(end), path, text: `it ${term.problem}` });
  const pod = subjectOf(end);
  const expected = selectorText(term.selector, policy.namespace);
  if (pod !== undefined) return missingLabels(world, policy, { term: { selector: term.selector, path }, pod });
  return lackOf("peer", expected, { actual: endText(end), path, text: `${endText(end)} is not one of ${expected}` });
}

function lackOf(what: LackKind, expected: string, rest: Omit<Lack, "what" | "expected">): Missing {
  return { ...NOTHING, lacks: [{ what, expected, ...rest }] };
}

interface Candidate {
  readonly term: { readonly selector: PeerSelector; readonly path: string };
  readonly pod: NonNullable<FlowEnd["pod"]>;
}

function missingLabels(world: World, policy: Policy, { term: { selector, path }, pod }: Candidate): Missing {
  const lacks: Lack[] = [];
  const matched: { what: LackKind; path: string; text: string }[] = [];
  const labels = world.cluster.namespaces.get(pod.namespace);
  const where = { what: "namespace", path: selector.namespaces === undefined ? path : `${path}.namespaceSelector` } as const;
  const isElsewhere = selector.namespaces === undefined && pod.namespace !== policy.namespace;
  if (isElsewhere) {
    const text = `pod ${pod.key} is not in namespace ${policy.namespace}, and without a namespaceSelector only its pods are meant`;
    lacks.push({ ...where, expected: `namespace ${policy.namespace}`, actual: `namespace ${pod.namespace}`, text });
  } else if (selector.namespaces === undefined) matched.push({ ...where, text: `namespace ${pod.namespace}` });
  else if (labels === undefined) {
    lacks.push({
      ...where,
      expected: "a known namespace",
      actual: "unknown",
      text: `the labels of namespace ${pod.namespace} are not known`,
    });
  }
  const look = (term: LabelRequirement, at: { what: LackKind; path: string }, own: Labels, owner: string): boolean => {
    const label = labelText(own, term.key);
    if (matchLabels([term], own)) matched.push({ ...at, text: `${owner} has ${label}` });
    else lacks.push({ ...at, expected: formatTerm(term), actual: label, text: `${owner} has ${label}, not ${formatTerm(term)}` });
    return !matchLabels([term], own);
  };
  const ofNamespace = (selector.namespaces ?? []).filter(
    (term) => labels !== undefined && look(term, where, labels, `namespace ${pod.namespace}`),
  );
  const at = { what: "peer", path: `${path}.podSelector` } as const;
  const ofPod = selector.pods.filter((term) => look(term, at, pod.labels, `pod ${pod.key}`));
  return {
    lacks,
    matched,
    pods: ofPod.length === 0 ? [] : selector.pods,
    namespaces: ofNamespace.length === 0 ? [] : (selector.namespaces ?? []),
    isAboutLabels: !isElsewhere && labels !== undefined,
  };
}

export function missingOfPort(term: Placed<PortTerm>, flow: Flow): Missing {
  const { path } = term;
  const actual = portText(flow.protocol, flow.port);
  if (term.kind === "nothing")
    return lackOf("port", "a port that can be understood", { actual, path, text: `it matches nothing: ${term.problem}` });
  const expected = portTermText(term);
  if (matchesPort(term, flow)) return { ...NOTHING, matched: [{ what: "port", path, text: `${actual} is ${expected}` }] };
  const wanted = term.kind === "name" ? term.protocol : term.interval.protocol;
  if (wanted !== flow.protocol) {
    return lackOf("protocol", protocolText(wanted), { actual: protocolText(flow.protocol), path, text: `${actual} is not ${expected}` });
  }
  if (term.kind === "numbers") return lackOf("port", expected, { actual, path, text: `port ${actual} is not ${expected}` });
  const number = portOfName(term, flow.to);
  const what = number === undefined ? `has no port named ${term.name}` : `has ${term.name} at ${portText(wanted, number)}`;
  return lackOf("port", expected, { actual, path, text: `port ${actual} is not ${expected}: ${endText(flow.to)} ${what}` });
}
