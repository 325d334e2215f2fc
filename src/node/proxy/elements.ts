// What one frontend puts into which set.
import type { Element, SetHeader, Verdict } from "#nft";
import { pickChainName, REFUSE, rememberChainName, SETS } from "./layout.ts";
import type { Backend, Frontend } from "./types.ts";

/** A frontend with its backends in the places that their numbers give them. */
export interface Placed {
  readonly frontend: Frontend;
  readonly slots: readonly Backend[];
}

/**
 * Gives each backend a number below their count. Those that had one keep it where they can: then a backend that comes or goes
 * changes one or two elements, however many there are.
 */
export function place(old: readonly string[], next: readonly Backend[]): Backend[] {
  const rest = new Map(next.map((backend) => [backend.id, backend]));
  const slots: (Backend | undefined)[] = next.map((_, i) => {
    const id = old[i];
    const kept = id === undefined ? undefined : rest.get(id);
    if (kept !== undefined) rest.delete(kept.id);
    return kept;
  });
  const homeless = rest.values();
  return slots.flatMap((slot) => slot ?? homeless.next().value ?? []);
}

/** Calls `emit` for each element that belongs to this frontend alone. */
export function elementsOf({ frontend, slots }: Placed, emit: (set: SetHeader, element: Element) => void): void {
  const { family, addr, protocol, port, service: comment, affinitySeconds, kind } = frontend;
  const sets = SETS[family];
  const key = [addr, protocol, port];
  if (slots.length === 0) {
    emit(sets.noEndpoints, { key, data: frontend.whenEmpty === "drop" ? { kind: "drop" } : { kind: "goto", chain: REFUSE }, comment });
    return;
  }
  const isSticky = affinitySeconds !== undefined;
  emit(sets.services, { key, data: { kind: "goto", chain: pickChainName(family, slots.length, isSticky) }, comment });
  slots.forEach((backend, i) => {
    emit(sets.endpoints, { key: [addr, protocol, port, i], data: [backend.addr, backend.port], comment });
  });
  if (affinitySeconds !== undefined) {
    const data: Verdict = { kind: "jump", chain: rememberChainName(family, affinitySeconds) };
    emit(sets.sticky, { key, data, comment });
  }
  if (kind !== "ClusterIP") emit(sets.external, { key, comment });
}

/** Calls `emit` for each element that frontends share; it carries no comment, since it is no one's. */
export function sharedBy({ frontend, slots }: Placed, emit: (set: SetHeader, element: Element) => void): void {
  const { family, addr, kind } = frontend;
  if (kind === "ClusterIP") emit(SETS[family].clusterIps, { key: [addr] });
  for (const backend of slots) if (backend.local) emit(SETS[family].hairpin, { key: [backend.addr, backend.addr] });
}
