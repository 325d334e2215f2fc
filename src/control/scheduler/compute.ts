// Which node a pod goes to: first who can take it, then who is best. In upstream's words where nobody can.
import type { Pod } from "kubernetes-types/core/v1";
import { hostPorts, portsClash, type Stored } from "#kube";
import type { NodeState } from "./cluster.ts";
import { matchesNode, nodePreference } from "./node-affinity.ts";
import { affinityProblem, viewAffinity } from "./pod-affinity.ts";
import { podRequests, weightOf } from "./resources.ts";
import { dislikes, isCordoned, untolerated } from "./taints.ts";
import { spreadProblem, viewSpread } from "./topology-spread.ts";

export type Decision = { readonly type: "node"; readonly nodeName: string } | { readonly type: "none"; readonly message: string };

export function pickNode(pod: Stored<Pod>, nodes: readonly NodeState[]): Decision {
  if (nodes.length === 0) return { type: "none", message: "no nodes available to schedule pods" };
  const problemsOf = filterFor(pod, nodes);
  const reasons = new Map<string, number>();
  const feasible: NodeState[] = [];
  for (const state of nodes) {
    const problems = problemsOf(state);
    if (problems.length === 0) feasible.push(state);
    for (const problem of problems) reasons.set(problem, (reasons.get(problem) ?? 0) + 1);
  }
  const best = feasible.length === 0 ? undefined : pickBest(pod, feasible);
  if (best !== undefined) return { type: "node", nodeName: best.node.metadata.name };
  return { type: "none", message: describeFailure(nodes.length, reasons) };
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` (kubernetes `framework/types.go`, FitError). */
function describeFailure(nodes: number, reasons: ReadonlyMap<string, number>): string {
  const texts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodes} nodes are available: ${texts.join(", ")}.`;
}

/** Why a node cannot take the pod; the first kind of reason found is told, and all resources that are short. */
function filterFor(pod: Stored<Pod>, nodes: readonly NodeState[]): (state: NodeState) => string[] {
  const tolerations = pod.spec?.tolerations ?? [];
  const ports = hostPorts(pod);
  const affinity = viewAffinity(pod, nodes);
  const spread = viewSpread(pod, nodes);
  return (state) => {
    const { node } = state;
    if (isCordoned(node, tolerations)) return ["node(s) were unschedulable"];
    const taint = untolerated(node, tolerations);
    if (taint !== undefined) return [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`];
    if (!matchesNode(pod, node)) return ["node(s) didn't match Pod's node affinity/selector"];
    if (portsClash(ports, state.ports)) return ["node(s) didn't have free ports for the requested pod ports"];
    const short = shortages(pod, state);
    if (short.length > 0) return short;
    const problem = spreadProblem(spread, state) ?? affinityProblem(affinity, state);
    return problem === undefined ? [] : [problem];
  };
}

function shortages(pod: Pod, { allocatable, requested, pods }: NodeState): string[] {
  const short: string[] = [];
  if (pods.size + 1 > (allocatable["pods"] ?? 0)) short.push("Too many pods");
  for (const [resource, wanted] of Object.entries(podRequests(pod))) {
    if (wanted > 0 && wanted > (allocatable[resource] ?? 0) - (requested[resource] ?? 0)) short.push(`Insufficient ${resource}`);
  }
  return short;
}

type Score = readonly number[];

/** Compared place by place; less is better. */
function scoreOf(pod: Stored<Pod>, state: NodeState): Score {
  const { node, pods, load, allocatable } = state;
  const weight = weightOf(pod);
  const share = (used: number, of: number | undefined): number => (of === undefined || of === 0 ? 1 : used / of);
  const cpu = share(load.cpu + weight.cpu, allocatable["cpu"]);
  const memory = share(load.memory + weight.memory, allocatable["memory"]);
  return [
    dislikes(node, pod.spec?.tolerations ?? []),
    -nodePreference(pod, node),
    siblings(pod, state),
    // Steps of five percent: small differences must not outweigh an even number of pods.
    Math.round(((cpu + memory) / 2) * 20),
    pods.size,
  ];
}

/** Pods of the same owner on the node: a Deployment survives the loss of a node when they are few. */
function siblings(pod: Stored<Pod>, { pods }: NodeState): number {
  const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller === true)?.uid;
  if (owner === undefined) return 0;
  let count = 0;
  for (const other of pods.values()) {
    if (
      other.metadata.deletionTimestamp === undefined &&
      other.metadata.ownerReferences?.some((reference) => reference.uid === owner) === true
    )
      count++;
  }
  return count;
}

function pickBest(pod: Stored<Pod>, feasible: readonly NodeState[]): NodeState | undefined {
  let best: { state: NodeState; score: Score } | undefined;
  for (const state of feasible) {
    const score = scoreOf(pod, state);
    if (best === undefined || isBetter(score, state, best)) best = { state, score };
  }
  return best?.state;
}

function isBetter(score: Score, state: NodeState, best: { state: NodeState; score: Score }): boolean {
  for (const [i, value] of score.entries()) {
    const other = best.score[i] ?? 0;
    if (value !== other) return value < other;
  }
  return compareNames(state.node.metadata.name, best.state.node.metadata.name) < 0;
}

/** node-2 before node-10. */
function compareNames(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : 1;
}
