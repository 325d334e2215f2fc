// What pods ask for and nodes have: thousandths of a CPU, bytes, and counts of everything else.
import type { Container, Node, Pod } from "kubernetes-types/core/v1";
import { quantityMilliValue, quantityValue, tryParseQuantity } from "#kube";

export type Amounts = Readonly<Record<string, number>>;

function amount(resource: string, text: string): number {
  const quantity = tryParseQuantity(text);
  if (quantity === undefined) return 0;
  return Number(resource === "cpu" ? quantityMilliValue(quantity) : quantityValue(quantity));
}

function parseAmounts(list: Readonly<Record<string, string>> | undefined): Record<string, number> {
  return Object.fromEntries(Object.entries(list ?? {}).map(([resource, text]) => [resource, amount(resource, text)]));
}

function add(into: Record<string, number>, more: Amounts): void {
  for (const [resource, value] of Object.entries(more)) into[resource] = (into[resource] ?? 0) + value;
}

function raise(into: Record<string, number>, other: Amounts): void {
  for (const [resource, value] of Object.entries(other)) into[resource] = Math.max(into[resource] ?? 0, value);
}

const requests = new WeakMap<Pod, Amounts>();

/**
 * What a pod needs at its busiest: its containers together with its sidecars, or one of its init containers together with the sidecars
 * before it, whichever is more (kubernetes `pkg/api/v1/resource/helpers.go`; KEP-753).
 */
export function podRequests(pod: Pod): Amounts {
  let found = requests.get(pod);
  if (found === undefined) {
    found = computeRequests(pod);
    requests.set(pod, found);
  }
  return found;
}

function computeRequests(pod: Pod): Amounts {
  const total: Record<string, number> = {};
  for (const container of pod.spec?.containers ?? []) add(total, containerRequests(container));
  const sidecars: Record<string, number> = {};
  const initial: Record<string, number> = {};
  for (const container of pod.spec?.initContainers ?? []) {
    const own = containerRequests(container);
    if (container.restartPolicy === "Always") {
      add(sidecars, own);
      raise(initial, sidecars);
      continue;
    }
    const together = { ...sidecars };
    add(together, own);
    raise(initial, together);
  }
  add(total, sidecars);
  raise(total, initial);
  add(total, parseAmounts(pod.spec?.overhead));
  return total;
}

/** A limit without a request is a request (the API's default, also for objects that never saw it). */
function containerRequests(container: Container): Amounts {
  return { ...parseAmounts(container.resources?.limits), ...parseAmounts(container.resources?.requests) };
}

/** Upstream's default; a node that says nothing of pods takes this many. */
const DEFAULT_MAX_PODS = 110;

export function nodeAllocatable(node: Node): Amounts {
  return { pods: DEFAULT_MAX_PODS, ...parseAmounts(node.status?.allocatable ?? node.status?.capacity) };
}

// For scoring, a pod that asks for nothing still weighs something (kubernetes `pkg/scheduler/util/pod_resources.go`).
const DEFAULT_CPU = 100;
const DEFAULT_MEMORY = 200 * 1024 * 1024;

export function weightOf(pod: Pod): { readonly cpu: number; readonly memory: number } {
  const { cpu = 0, memory = 0 } = podRequests(pod);
  return { cpu: cpu === 0 ? DEFAULT_CPU : cpu, memory: memory === 0 ? DEFAULT_MEMORY : memory };
}
