// Where the API leaves the answer open, and which engines answer otherwise. Pure.
import { matchLabels } from "#kube";
import type { Decided } from "./decide.ts";
import type { Flow, Note, World } from "./judge-types.ts";
import { endsOf, matchesPeer, matchesPort, subjectOf } from "./match.ts";
import { type RuleTerms, termsOf } from "./terms.ts";
import { protocolName, protocolText } from "./words.ts";

const PROSE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/";

export function notesOf(world: World, flow: Flow, directions: readonly Decided[]): Note[] {
  return directions
    .filter(({ isolating }) => isolating.length > 0)
    .flatMap((decided) => [
      ...blockNotes(world, flow, decided),
      ...protocolNotes(flow, decided),
      ...hostNotes(world, flow, decided),
      ...unknownNotes(world, flow, decided),
    ]);
}

function implementationDefined(text: string, sources: readonly string[]): Note[] {
  return [{ kind: "implementation-defined", text, sources }];
}

function rulesOf({ isolating, direction }: Decided): { policy: Decided["isolating"][number]; rule: RuleTerms }[] {
  return isolating.flatMap((policy) => termsOf(policy).flatMap((rule) => (rule.direction === direction ? [{ policy, rule }] : [])));
}

/** Only where nothing but a block allows it, since then the engines differ. */
function blockNotes(world: World, flow: Flow, decided: Decided): Note[] {
  const { other } = endsOf(flow, decided.direction);
  if (decided.decidedBy.by !== "rule" || subjectOf(other) === undefined) return [];
  const isOtherwise = rulesOf(decided).some(({ policy, rule }) => {
    const isPeer = rule.peers?.some((term) => term.kind === "pods" && matchesPeer(world, policy, term, other)) ?? true;
    return isPeer && (rule.ports?.some((term) => matchesPort(term, flow)) ?? true);
  });
  if (isOtherwise) return [];
  return implementationDefined(
    `${decided.direction} is allowed by an address block that holds a pod's address: so here and in Calico, not in Cilium`,
    ["https://github.com/cilium/cilium/issues/9209", "https://github.com/projectcalico/calico/issues/6634"],
  );
}

function protocolNotes({ protocol }: Flow, { decidedBy, direction }: Decided): Note[] {
  if (protocolName(protocol) !== undefined || decidedBy.by === "origin") return [];
  const text = `${direction} of ${protocolText(protocol)} is not defined by NetworkPolicy: here rules without ports are about it, and isolation too`;
  return implementationDefined(text, [PROSE]);
}

function hostNotes(world: World, flow: Flow, { direction, decidedBy, isolating, subject }: Decided): Note[] {
  const { other } = endsOf(flow, direction);
  if (decidedBy.by === "origin" && decidedBy.because === "own node" && direction === "egress") {
    return implementationDefined(
      "a pod always reaches its own node: so here and by the API's prose; kube-network-policies applies policies to it",
      [PROSE, "https://github.com/kubernetes-sigs/kube-network-policies/pull/339"],
    );
  }
  const pod = other.pod;
  if (pod === undefined || pod.isPeer || subject === undefined || other.isOwnNode === true) return [];
  const isNamed = isolating.some((policy) =>
    termsOf(policy).some(
      ({ direction: of, peers }) =>
        of === direction && peers?.some((term) => term.kind === "pods" && matchLabels(term.selector.pods, pod.labels)),
    ),
  );
  if (!isNamed || world.cluster.namespaces.get(pod.namespace) === undefined) return [];
  return implementationDefined(`pod ${pod.key} has the node's network: here, as with most, selectors are not about it`, [PROSE]);
}

function unknownNotes(world: World, flow: Flow, { direction, allowed }: Decided): Note[] {
  const pod = subjectOf(endsOf(flow, direction).other);
  if (allowed || pod === undefined || world.cluster.namespaces.has(pod.namespace)) return [];
  const text = `${direction}: the labels of namespace ${pod.namespace} are not known, so no namespaceSelector matches pod ${pod.key}`;
  return [{ kind: "undecidable", text, sources: [] }];
}
