// What one frontend puts into which set.
import { type Addr, addrBits, type Prefix } from "#ip";
import { type Element, type Interval, prefixInterval, type SetHeader } from "#nft";
import type { Backend, Frontend } from "../types.ts";
import { FIRST_NUMBER, REFUSE, type Scope, SETS } from "./layout.ts";
import { entryChainName, pickChainName, rememberChainName } from "./on-demand.ts";
import type { OwnerNumbers } from "./owners.ts";

/** nft shows 127 bytes of a comment. */
const COMMENT_CHARS = 127;

/** A frontend with its backends in the places that their numbers give them. */
export interface Placed {
  readonly frontend: Frontend;
  /** Of each of its elements. */
  readonly comment: string;
  readonly all: readonly Backend[];
  /** The same of the frontend's `inside`. */
  readonly inside: readonly Backend[];
  readonly owners: OwnerNumbers;
}

/** What has numbers already: ids of backends in their places. */
export interface Numbered {
  readonly comment: string | undefined;
  readonly all: readonly string[];
  readonly inside: readonly string[];
}

export function placeFrontend(frontend: Frontend, old: Numbered | undefined, owners: OwnerNumbers): Placed {
  return {
    frontend,
    comment: frontend.service.slice(0, COMMENT_CHARS),
    all: place(old?.all ?? [], frontend.backends),
    inside: frontend.inside === undefined ? [] : place(old?.inside ?? [], frontend.inside),
    owners,
  };
}

export function numbered({ comment, all, inside }: Placed): Numbered {
  return { comment, all: all.map(({ id }) => id), inside: inside.map(({ id }) => id) };
}

/**
 * Gives each backend a number below their count. Those that had one keep it where they can: then a backend that comes or goes
 * changes one or two elements, however many there are.
 */
function place(old: readonly string[], next: readonly Backend[]): readonly Backend[] {
  const rest = new Map(next.map((backend) => [backend.id, backend]));
  const slots: (Backend | undefined)[] = next.map((_, i) => {
    const id = old[i];
    const kept = id === undefined ? undefined : rest.get(id);
    if (kept !== undefined) rest.delete(kept.id);
    return kept;
  });
  const homeless = rest.values();
  const placed = slots.flatMap((slot) => slot ?? homeless.next().value ?? []);
  // Mostly nothing moved: one list less to keep.
  return placed.every((backend, i) => backend === next[i]) ? next : placed;
}

export type Emit = (set: SetHeader, element: Element) => void;

/**
 * Calls `emit` for each element that belongs to this frontend alone; without the backends that `same`, another state of it, has
 * in the same places.
 */
export function elementsOf(placed: Placed, emit: Emit, same?: Numbered): void {
  const { frontend, comment, all, inside } = placed;
  const { family, addr, protocol, port } = frontend;
  const sets = SETS[family];
  const key = [addr, protocol, port];
  if (all.length > 0) listElements(placed, "all", { emit, same });
  else emit(sets.noEndpoints, { key, data: frontend.whenEmpty === "drop" ? { kind: "drop" } : { kind: "goto", chain: REFUSE }, comment });
  if (inside.length > 0) listElements(placed, "inside", { emit, same });
  if (all.length + inside.length === 0) return;
  for (const range of frontend.sources ?? []) emit(sets.sourceRanges, { key: [...key, rangeOf(range)], comment });
  if (frontend.inside !== undefined) emit(sets.keepsSource, { key, comment });
  else if (frontend.kind !== "ClusterIP") emit(sets.external, { key, comment });
}

/** One of the two lists of backends: how to choose among them, who they are, and who remembers. */
function listElements(placed: Placed, scope: Scope, { emit, same }: { readonly emit: Emit; readonly same: Numbered | undefined }): void {
  const { frontend, comment, owners } = placed;
  const { family, addr, protocol, port, affinitySeconds, sources } = frontend;
  const sets = SETS[family];
  const key = [addr, protocol, port];
  const isAll = scope === "all";
  const backends = placed[scope];
  const owner = owners[scope];
  const count = backends.length;
  const to = (chain: string): Element => ({ key, data: { kind: "goto", chain }, comment });
  emit(isAll ? sets.services : sets.inside, to(entryChainName(family, { scope, count, owner, guarded: sources !== undefined })));
  if (owner !== undefined && affinitySeconds !== undefined) {
    emit(isAll ? sets.spread : sets.insideSpread, to(pickChainName(family, scope, count)));
    emit(isAll ? sets.sticky : sets.insideSticky, to(rememberChainName(family, owner, affinitySeconds)));
  }
  const first = FIRST_NUMBER[scope];
  const standing = same?.comment === comment ? same[scope] : [];
  backends.forEach((backend, i) => {
    if (standing[i] === backend.id) return;
    emit(sets.endpoints, { key: [addr, protocol, port, first + i], data: [backend.addr, backend.port], comment });
  });
}

/** As the kernel tells it back: one address is no interval. */
function rangeOf(prefix: Prefix): Interval | Addr {
  return prefix.bits === addrBits(prefix.addr.family) ? prefix.addr : prefixInterval(prefix);
}

/** Calls `emit` for each element that frontends share; it carries no comment, since it is no one's. */
export function sharedBy({ frontend, all, inside }: Placed, emit: Emit): void {
  const { family, addr, kind } = frontend;
  if (kind === "ClusterIP") emit(SETS[family].clusterIps, { key: [addr] });
  for (const backends of [all, inside]) {
    for (const backend of backends) if (backend.local) emit(SETS[family].hairpin, { key: [backend.addr, backend.addr] });
  }
}
