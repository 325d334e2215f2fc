// A set whose elements follow the pods of the cluster. What a pod's change makes of it is known at once, and costs as much as the pod has. Pure.
import { type Addr, formatAddr } from "#ip";
import type { PodFacts } from "#netpol";
import type { Element, NftSet, SetHeader } from "#nft";
import type { Scope } from "./scope.ts";

/** An element and its key as text. */
export interface Keyed {
  readonly text: string;
  readonly element: Element;
}

export interface LiveSetOptions {
  readonly header: SetHeader;
  /** What a pod has in the set: nothing where it is not meant. */
  readonly elementsOf: (pod: PodFacts) => readonly Keyed[];
  /** Pods outside of them have nothing in it. */
  readonly scopes: readonly Scope[];
}

/** What the kernel has to be told of a set that it has. */
export interface Patch {
  readonly set: SetHeader;
  readonly remove: readonly Element[];
  readonly add: readonly Element[];
}

export class LiveSet {
  /** The same object as long as this lives. Its elements are those of the last `take`: what the kernel has been told. */
  readonly set: NftSet;
  readonly scopes: readonly Scope[];
  readonly #header: SetHeader;
  #snapshot: NftSet | undefined;
  readonly #elementsOf: LiveSetOptions["elementsOf"];
  readonly #elements = new Map<string, Element>();
  /** How many pods beside the first have an element. */
  readonly #more = new Map<string, number>();
  /** As they were when `take` was last called. */
  readonly #before = new Map<string, Element | undefined>();

  constructor({ header, elementsOf, scopes }: LiveSetOptions) {
    const taken = (): readonly Element[] => this.#taken();
    this.#header = header;
    this.set = {
      ...header,
      get elements(): readonly Element[] {
        return taken();
      },
    };
    liveSets.set(this.set, this);
    this.scopes = scopes;
    this.#elementsOf = elementsOf;
  }

  get size(): number {
    return this.#elements.size;
  }

  /** For a set that the kernel has not been told of. */
  load(pod: PodFacts): void {
    for (const keyed of this.#elementsOf(pod)) this.#put(keyed);
  }

  add(pod: PodFacts): void {
    for (const keyed of this.#elementsOf(pod)) {
      if (!this.#elements.has(keyed.text)) this.#remember(keyed.text);
      this.#put(keyed);
    }
  }

  /** The pod as it was when it was added. */
  remove(pod: PodFacts): void {
    for (const { text } of this.#elementsOf(pod)) {
      const more = this.#more.get(text) ?? 0;
      if (more > 1) this.#more.set(text, more - 1);
      else if (more === 1) this.#more.delete(text);
      else {
        this.#remember(text);
        this.#elements.delete(text);
      }
    }
  }

  get isChanged(): boolean {
    return this.#before.size > 0;
  }

  /** What has changed since the last call. */
  take(): Patch {
    const remove: Element[] = [];
    const add: Element[] = [];
    for (const [text, before] of this.#before) {
      const now = this.#elements.get(text);
      if (before !== undefined && now === undefined) remove.push(before);
      if (before === undefined && now !== undefined) add.push(now);
    }
    if (this.#before.size > 0) this.#snapshot = undefined;
    this.#before.clear();
    return { set: this.#header, remove, add };
  }

  /** The set as it is now, for good: the same object until it changes. */
  snapshot(): NftSet {
    if (this.isChanged || this.#snapshot === undefined) this.#snapshot = { ...this.#header, elements: [...this.#elements.values()] };
    return this.#snapshot;
  }

  #put({ text, element }: Keyed): void {
    if (this.#elements.has(text)) this.#more.set(text, (this.#more.get(text) ?? 0) + 1);
    else this.#elements.set(text, element);
  }

  #taken(): Element[] {
    if (this.#before.size === 0) return [...this.#elements.values()];
    const kept = [...this.#elements].flatMap(([text, element]) => (this.#before.has(text) ? [] : [element]));
    return [...kept, ...[...this.#before.values()].filter((element) => element !== undefined)];
  }

  #remember(text: string): void {
    if (!this.#before.has(text)) this.#before.set(text, this.#elements.get(text));
  }
}

const liveSets = new WeakMap<NftSet, LiveSet>();

/** For whoever keeps a table beyond the next change. */
export function snapshotOf(set: NftSet): NftSet {
  return liveSets.get(set)?.snapshot() ?? set;
}

/** A pod may be in many sets: its address is written once. */
const known = new WeakMap<Addr, Keyed>();

export function addrElement(addr: Addr): Keyed {
  let found = known.get(addr);
  if (found === undefined) {
    found = { text: formatAddr(addr), element: { key: [addr] } };
    known.set(addr, found);
  }
  return found;
}
