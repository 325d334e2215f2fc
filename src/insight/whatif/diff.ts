// The exact difference between two worlds: for each pair of atoms whose ports are others, what they were and what they are. Pure.
import type { Family } from "#ip";
import type { Atom, Partition } from "./atoms.ts";
import type { PortSet, PortSets } from "./ports.ts";
import type { Reach, Vector } from "./reach.ts";

/** What pairs of atoms had and have, in each family. */
export interface Change {
  readonly before: Readonly<Record<Family, PortSet>>;
  readonly after: Readonly<Record<Family, PortSet>>;
}

/** All of `from` to all of `to`: the same change. */
export interface Rectangle {
  readonly from: readonly Atom[];
  readonly to: readonly Atom[];
  readonly change: Change;
}

export interface Worlds {
  readonly partition: Partition;
  readonly sets: PortSets;
  readonly before: Reach;
  readonly after: Reach;
}

const FAMILIES: readonly Family[] = [4, 6];

/** Whether policies judge anything between them: not between a pod and itself, or its own node. */
export function isJudged(from: Atom, to: Atom): boolean {
  if (from.kind === "pods" && from === to) return from.pods.length > 1;
  if (from.kind === "pods" && to.kind === "nodes") return isRemote(from, to);
  if (from.kind === "nodes" && to.kind === "pods") return isRemote(to, from);
  return from.kind === "pods" || to.kind === "pods";
}

function isRemote(pods: Atom & { kind: "pods" }, { nodes }: Atom & { kind: "nodes" }): boolean {
  return nodes.some(({ name }) => pods.facts.some((facts) => facts !== undefined && (facts.nodeName !== name || pods.pods.length > 1)));
}

/** Changes by the pair of atoms: `changeOf(from, to)` is undefined where nothing changes. */
export class Difference {
  readonly worlds: Worlds;
  readonly #rows = new Map<number, Map<number, number>>();
  readonly #changes: Change[] = [];
  readonly #ids = new Map<string, number>();
  readonly #changedPeers = new Map<Vector, Map<Vector, Int32Array>>();

  constructor(worlds: Worlds) {
    this.worlds = worlds;
    for (const [from, candidates] of this.#candidates()) this.#compare(from, candidates);
  }

  changeOf(from: Atom, to: Atom): Change | undefined {
    const id = this.#rows.get(from.index)?.get(to.index);
    return id === undefined ? undefined : this.#changes[id];
  }

  /** Calls for each pair that changes. */
  forEach(visit: (from: Atom, to: Atom, change: Change) => void): void {
    const { atoms } = this.worlds.partition;
    for (const [i, row] of this.#rows) {
      for (const [j, id] of row) {
        const [from, to, change] = [atoms[i], atoms[j], this.#changes[id]];
        if (from !== undefined && to !== undefined && change !== undefined) visit(from, to, change);
      }
    }
  }

  /** Sources with the same changes to the same destinations are taken together, and destinations of one change. */
  rectangles(): Rectangle[] {
    const { atoms } = this.worlds.partition;
    const atomsOf = (indices: readonly number[]): Atom[] => indices.flatMap((index) => atoms[index] ?? []);
    const rows = Map.groupBy(this.#rows, ([, row]) => [...row].map(([to, id]) => `${to}:${id}`).join());
    const merged = new Map<string, { from: number[]; to: number[]; id: number }>();
    for (const group of rows.values()) {
      const [first] = group;
      const from = group.map(([index]) => index);
      for (const [id, entries] of Map.groupBy(first?.[1] ?? [], ([, change]) => change)) {
        const to = entries.map(([index]) => index);
        const key = `${id} ${to.join()}`;
        const known = merged.get(key);
        if (known === undefined) merged.set(key, { from: [...from], to, id });
        else known.from.push(...from);
      }
    }
    return [...merged.values()].flatMap(({ from, to, id }) => {
      const change = this.#changes[id];
      return change === undefined ? [] : [{ from: atomsOf(from), to: atomsOf(to), change }];
    });
  }

  #compare(from: number, candidates: Uint8Array): void {
    const { partition, before, after } = this.worlds;
    const source = partition.atoms[from];
    if (source === undefined) return;
    const row = new Map<number, number>();
    for (const [index, isCandidate] of candidates.entries()) {
      const to = partition.atoms[index];
      if (isCandidate === 0 || to === undefined || !isJudged(source, to)) continue;
      const [b4, b6] = [before.between(source, to, 4), before.between(source, to, 6)];
      const [a4, a6] = [after.between(source, to, 4), after.between(source, to, 6)];
      if (b4 !== a4 || b6 !== a6) row.set(index, this.#changeId({ before: { 4: b4, 6: b6 }, after: { 4: a4, 6: a6 } }));
    }
    if (row.size > 0) this.#rows.set(from, row);
  }

  #changeId(change: Change): number {
    const key = `${change.before[4]} ${change.before[6]} ${change.after[4]} ${change.after[6]}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#changes.push(change);
    this.#ids.set(key, this.#changes.length - 1);
    return this.#changes.length - 1;
  }

  /** Pairs of which one direction has changed, by who begins. */
  #candidates(): Map<number, Uint8Array> {
    const { partition, before, after } = this.worlds;
    const size = partition.atoms.length;
    const rows = new Map<number, Uint8Array>();
    const mark = (from: number, to: number): void => {
      const known = rows.get(from);
      if (known !== undefined) known[to] = 1;
      else {
        const row = new Uint8Array(size);
        row[to] = 1;
        rows.set(from, row);
      }
    };
    for (const atom of partition.podAtoms) {
      for (const family of FAMILIES) {
        const isThere = before.matcher.has(atom, family) || after.matcher.has(atom, family);
        if (!isThere) continue;
        for (const other of this.#changed(before.vector(atom, "egress", family), after.vector(atom, "egress", family)))
          mark(atom.index, other);
        for (const other of this.#changed(before.vector(atom, "ingress", family), after.vector(atom, "ingress", family)))
          mark(other, atom.index);
        if (before.matcher.has(atom, family) === after.matcher.has(atom, family)) continue;
        for (let other = 0; other < size; other++) {
          mark(atom.index, other);
          mark(other, atom.index);
        }
      }
    }
    return rows;
  }

  #changed(before: Vector, after: Vector): Int32Array {
    let byAfter = this.#changedPeers.get(before);
    if (byAfter === undefined) {
      byAfter = new Map();
      this.#changedPeers.set(before, byAfter);
    }
    const known = byAfter.get(after);
    if (known !== undefined) return known;
    const found: number[] = [];
    for (const [i, set] of before.entries()) if (set !== after[i]) found.push(i);
    const list = Int32Array.from(found);
    byAfter.set(after, list);
    return list;
  }
}
