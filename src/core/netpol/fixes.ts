// The smallest edit with which a rule allows a flow, proven by judging again. Pure.
import { formatAddr } from "#ip";
import { type LabelRequirement, type Labels, matchLabels, type ParsedLabelSelector } from "#kube";
import { decide } from "./decide.ts";
import { applyEdits, renewed } from "./edits.ts";
import type { Edit, Fix, Flow, FlowEnd, PolicyRef, RulePlace, World } from "./judge-types.ts";
import type { Missing } from "./lacks.ts";
import { endsOf, subjectOf } from "./match.ts";
import { peerField, type RuleTerms } from "./terms.ts";
import type { Direction, Policy } from "./types.ts";
import { protocolName } from "./words.ts";

/** Every namespace has it, and nobody can change it. */
const NAME_LABEL = "kubernetes.io/metadata.name";

export interface Broken {
  readonly policy: Policy;
  readonly direction: Direction;
  /** Undefined: the policy has no rule for the direction. */
  readonly rule: RuleTerms | undefined;
  /** Undefined where the rule allows the end, or the port. */
  readonly peer: Missing | undefined;
  readonly port: Missing | undefined;
}

export function fixOf(world: World, flow: Flow, broken: Broken): Fix | undefined {
  const candidates = candidatesOf(world, flow, broken).toSorted((a, b) => a.length - b.length);
  const edits = candidates.find((candidate) => isFixed(world, flow, { edits: candidate, direction: broken.direction }));
  return edits === undefined ? undefined : { edits, text: edits.map(editText).join("; ") };
}

/** An Accept right before the rule that denies. */
export function clusterFixOf(
  world: World,
  flow: Flow,
  { direction, place }: { readonly direction: Direction; readonly place: RulePlace },
): Fix | undefined {
  const { other } = endsOf(flow, direction);
  const pod = subjectOf(other);
  const name = protocolName(flow.protocol)?.toLowerCase();
  const protocols = name === undefined || flow.port === undefined ? [] : [{ [name]: { destinationPort: { number: flow.port } } }];
  const peers: object[] = direction === "egress" ? [{ networks: [hostCidr(other)] }] : [];
  if (pod !== undefined) {
    const namespaceSelector = { matchLabels: { [NAME_LABEL]: pod.namespace } };
    peers.unshift({ pods: { namespaceSelector, podSelector: { matchLabels: pod.labels } } });
  }
  const edits = peers.map((peer): Edit => {
    const value = { action: "Accept", [peerField(direction)]: [peer], ...(protocols.length > 0 && { protocols }) };
    return { kind: "insert", policy: place.policy, path: `spec.${direction}[${place.rule}]`, value };
  });
  const edit = edits.find((one) => isFixed(world, flow, { edits: [one], direction }));
  return edit === undefined ? undefined : { edits: [edit], text: `${editText(edit)}, before ${place.path}` };
}

function hostCidr({ addr }: FlowEnd): string {
  return `${formatAddr(addr)}/${addr.family === 4 ? 32 : 128}`;
}

/** The direction allows it, and the other one does not allow less: a label may make other policies isolate the pod. */
function isFixed(world: World, flow: Flow, { edits, direction }: { edits: readonly Edit[]; direction: Direction }): boolean {
  const after = applyEdits(world, edits);
  const flowAfter = renewed(after, flow);
  const back = direction === "ingress" ? "egress" : "ingress";
  return decide(after, flowAfter, direction).allowed && (decide(after, flowAfter, back).allowed || !decide(world, flow, back).allowed);
}

function candidatesOf(world: World, flow: Flow, { policy, direction, rule, peer, port }: Broken): Edit[][] {
  const ref: PolicyRef = { kind: "NetworkPolicy", key: policy.key };
  const { other } = endsOf(flow, direction);
  const field = peerField(direction);
  const peers = peersFor(world, policy, other);
  const ports = portsFor(flow);
  const count = (direction === "ingress" ? policy.spec.ingress : policy.spec.egress)?.length ?? 0;
  const value = (one: unknown): unknown => ({ [field]: [one], ...(ports.length > 0 && { ports }) });
  const newRules = peers.map((one): Edit[] => [{ kind: "insert", policy: ref, path: `spec.${direction}[${count}]`, value: value(one) }]);
  if (rule === undefined) return newRules;
  const into = (list: string, length: number, one: unknown): Edit => ({
    kind: "insert",
    policy: ref,
    path: `${rule.path}.${list}[${length}]`,
    value: one,
  });
  const portEdits = port === undefined ? [[]] : ports.map((one) => [into("ports", rule.ports?.length ?? 0, one)]);
  const peerEdits =
    peer === undefined ? [[]] : [...labelEdits(world, other, peer), ...peers.map((one) => [into(field, rule.peers?.length ?? 0, one)])];
  return [...peerEdits.flatMap((a) => portEdits.map((b) => [...a, ...b])), ...newRules];
}

function portsFor({ protocol, port }: Flow): object[] {
  const name = protocolName(protocol);
  return name === undefined || port === undefined ? [] : [{ protocol: name, port }];
}

/** Peers that are this end and as few others as can be said. */
function peersFor(world: World, policy: Policy, end: FlowEnd): object[] {
  const pod = subjectOf(end);
  const block = { ipBlock: { cidr: hostCidr(end) } };
  if (pod === undefined) return [block];
  const podSelector = { matchLabels: pod.labels };
  if (pod.namespace === policy.namespace) return [{ podSelector }, block];
  const isNamed = world.cluster.namespaces.get(pod.namespace)?.[NAME_LABEL] === pod.namespace;
  return isNamed ? [{ namespaceSelector: { matchLabels: { [NAME_LABEL]: pod.namespace } }, podSelector }, block] : [block];
}

/** One candidate, or none where no labels do it. */
function labelEdits(world: World, end: FlowEnd, { isAboutLabels, pods, namespaces }: Missing): Edit[][] {
  const pod = subjectOf(end);
  if (!isAboutLabels || pod === undefined) return [];
  const ofPod = labelsFor(pods, pod.labels);
  const ofNamespace = labelsFor(namespaces, world.cluster.namespaces.get(pod.namespace) ?? {});
  if (ofPod === undefined || ofNamespace === undefined) return [];
  const isOfName = Object.hasOwn(ofNamespace.set, NAME_LABEL) || ofNamespace.remove.includes(NAME_LABEL);
  if (isOfName) return [];
  const edits: Edit[] = [];
  if (pods.length > 0) edits.push({ kind: "label", object: "Pod", name: pod.key, ...ofPod });
  if (namespaces.length > 0) edits.push({ kind: "label", object: "Namespace", name: pod.namespace, ...ofNamespace });
  return [edits];
}

interface Relabelling {
  readonly set: Labels;
  readonly remove: readonly string[];
}

/** Undefined where no labels satisfy the selector. */
function labelsFor(selector: ParsedLabelSelector, labels: Labels): Relabelling | undefined {
  const set: Record<string, string> = {};
  const remove: string[] = [];
  for (const [key, terms] of Map.groupBy(selector, (term) => term.key)) {
    if (matchLabels(terms, labels)) continue;
    const value = valueFor(terms);
    if (value === null) return undefined;
    if (value === undefined) remove.push(key);
    else set[key] = value;
  }
  return { set, remove };
}

/** The value with which all terms of one key hold; undefined is without the label, null is never. */
function valueFor(terms: readonly LabelRequirement[]): string | undefined | null {
  const key = terms[0]?.key ?? "";
  const excluded = new Set(terms.flatMap(({ operator, values }) => (operator === "notin" ? values : [])));
  const named = terms.flatMap(({ operator, values }) => (operator === "in" || operator === "=" ? values : []));
  const isFree = (text: string): boolean => !excluded.has(text);
  const candidates = [undefined, ...named, ["", "true", "yes"].find(isFree) ?? `x${[...excluded].join("")}`.slice(0, 63)];
  const working = candidates.filter((value) => matchLabels(terms, value === undefined ? {} : { [key]: value }));
  return working.length === 0 ? null : working[0];
}

function editText(edit: Edit): string {
  if (edit.kind === "insert") return `add ${valueText(edit.value)} to ${edit.path.replace(/\[\d+\]$/, "")} of ${edit.policy.key}`;
  const changes = [...Object.entries(edit.set).map(([key, value]) => `${key}=${value}`), ...edit.remove.map((key) => `${key}-`)];
  return `label ${edit.object.toLowerCase()} ${edit.name} ${changes.join(" ")}`;
}

function valueText(value: unknown): string {
  const { protocol, port } = value as { protocol?: string; port?: number };
  if (protocol !== undefined && port !== undefined) return `port ${port}/${protocol}`;
  return JSON.stringify(value);
}
