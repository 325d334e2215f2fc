// Elements that packets put into sets, in one namespace, during one walk: what was there before stays, what changes lies above.
import type { Datatype, Element, SetHeader, Value } from "#nft";
import type { DynamicElements } from "../evaluate/evaluation.ts";
import { addrOfScalar, joined, parted, type Scalar } from "../evaluate/scalar.ts";
import type { PreparedElement, PreparedSet } from "../evaluate/set.ts";
import type { RememberedElement } from "../state.ts";

const NOTHING: readonly RememberedElement[] = [];

export class DynamicStore implements DynamicElements {
  readonly #base: readonly RememberedElement[];
  readonly #entries: Map<string, Map<Scalar, RememberedElement>> = new Map();
  readonly #removed: Map<string, Set<Scalar>> = new Map();
  #changed = false;

  constructor(base: readonly RememberedElement[] = NOTHING, now = 0) {
    this.#base = base;
    for (const entry of base) if (entry.expiresMs === undefined || entry.expiresMs > now) this.#of(entry.set).set(entry.key, entry);
  }

  find(header: SetHeader, id: string, key: Scalar): PreparedElement | undefined {
    const entry = this.#entries.get(id)?.get(key);
    return entry && prepared(header, entry);
  }

  put(set: PreparedSet, id: string, entry: Parameters<DynamicElements["put"]>[2]): boolean {
    const elements = this.#of(id);
    const { size } = set.header;
    if (size !== undefined && !elements.has(entry.key) && set.size + elements.size >= size) return false;
    elements.set(entry.key, { set: id, ...entry });
    this.#removed.get(id)?.delete(entry.key);
    this.#changed = true;
    return true;
  }

  remove(set: string, key: Scalar): void {
    this.#entries.get(set)?.delete(key);
    const removed = this.#removed.get(set) ?? new Set();
    this.#removed.set(set, removed.add(key));
    this.#changed = true;
  }

  isRemoved(set: string, key: Scalar): boolean {
    return this.#removed.get(set)?.has(key) === true;
  }

  entries(): readonly RememberedElement[] {
    if (!this.#changed) return this.#base;
    return [...this.#entries.values()].flatMap((entries) => [...entries.values()]);
  }

  #of(set: string): Map<Scalar, RememberedElement> {
    const known = this.#entries.get(set);
    if (known !== undefined) return known;
    const entries = new Map<Scalar, RememberedElement>();
    this.#entries.set(set, entries);
    return entries;
  }
}

function prepared({ key: keyTypes, data: dataTypes }: SetHeader, { key, data }: RememberedElement): PreparedElement {
  const element: Element = { key: parted(keyTypes, key).map((scalar, i) => valueOfScalar(keyTypes[i], scalar)) };
  if (data === undefined || dataTypes === undefined || dataTypes === "verdict") return { element };
  const values = data.map((scalar, i) => valueOfScalar(dataTypes[i], scalar));
  return { element: { ...element, data: values }, values: data, data: joined(dataTypes, data) };
}

function valueOfScalar(type: Datatype | undefined, scalar: Scalar): Value {
  if (type === "ipv4_addr") return addrOfScalar(4, scalar);
  return type === "ipv6_addr" ? addrOfScalar(6, scalar) : scalar;
}
