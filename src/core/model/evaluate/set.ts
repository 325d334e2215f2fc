// Sets and maps, indexed once. Mirrors net/netfilter/nft_set_hash.c (exact keys), nft_set_rbtree.c (intervals of one component) and
// nft_set_pipapo.c (intervals in concatenations). Of overlapping elements, which the kernel refuses, the first that matches counts.
import { type Datatype, type Element, headerOf, isInterval, type NftSet, type SetHeader, type Value, type Verdict } from "#nft";
import { component, joined, type Scalar, scalarOf, unitsOf } from "./scalar.ts";

export interface PreparedElement {
  readonly element: Element;
  /** The data of a map, joined; undefined for sets and verdict maps. */
  readonly data?: Scalar;
  readonly values?: readonly Scalar[];
  readonly verdict?: Verdict;
}

export interface PreparedSet {
  readonly header: SetHeader;
  /** Packets change it, or time does. */
  readonly dynamic: boolean;
  readonly size: number;
  find(key: Scalar): PreparedElement | undefined;
}

/** Sets are data that never changes: one that stands in two states is indexed once. */
const PREPARED: WeakMap<NftSet, PreparedSet> = new WeakMap();

export function prepareSet(set: NftSet): PreparedSet {
  const known = PREPARED.get(set);
  if (known !== undefined) return known;
  const dynamic = set.flags?.includes("dynamic") === true || set.flags?.includes("timeout") === true;
  // Not before somebody asks: of a large table most packets meet few sets.
  let find: PreparedSet["find"] | undefined;
  const lookUp: PreparedSet["find"] = (key) => {
    find ??= index(set);
    return find(key);
  };
  const prepared: PreparedSet = { header: headerOf(set), dynamic, size: set.elements.length, find: lookUp };
  PREPARED.set(set, prepared);
  return prepared;
}

function index(set: NftSet): PreparedSet["find"] {
  const hasIntervals = set.elements.some(({ key }) => key.some((part) => isInterval(part)));
  if (!hasIntervals) return exact(set);
  return set.key.length === 1 ? intervals(set) : concatenations(set);
}

function prepareElement({ data: dataTypes }: SetHeader, element: Element): PreparedElement {
  const { data } = element;
  if (data === undefined) return { element };
  if ("kind" in data) return { element, verdict: data };
  const types: readonly Datatype[] = dataTypes === undefined || dataTypes === "verdict" ? [] : dataTypes;
  const values = types.map((type, i) => scalarOf(type, data[i] ?? 0));
  return { element, values, data: joined(types, values) };
}

function exact(set: NftSet): PreparedSet["find"] {
  const byKey = new Map<Scalar, PreparedElement>();
  for (const element of set.elements) {
    const parts = set.key.map((type, i) => scalarOf(type, exactValue(element.key[i])));
    byKey.set(joined(set.key, parts), prepareElement(set, element));
  }
  return (key) => byKey.get(key);
}

function exactValue(part: Element["key"][number] | undefined): Value {
  if (part === undefined) return 0;
  return isInterval(part) ? part.first : part;
}

interface Range {
  readonly first: Scalar;
  readonly last: Scalar;
  readonly element: PreparedElement;
}

function rangeOf(type: Datatype, part: Element["key"][number] | undefined): { first: Scalar; last: Scalar } {
  if (part !== undefined && isInterval(part)) return { first: scalarOf(type, part.first), last: scalarOf(type, part.last) };
  const only = scalarOf(type, part ?? 0);
  return { first: only, last: only };
}

function intervals(set: NftSet): PreparedSet["find"] {
  const [type = "index"] = set.key;
  return searcher(set.elements.map((element) => ({ ...rangeOf(type, element.key[0]), element: prepareElement(set, element) })));
}

/** Binary search where ranges are disjoint. */
function searcher(ranges: readonly Range[]): (key: Scalar) => PreparedElement | undefined {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : Number(a.first > b.first)));
  const disjoint = sorted.every((range, i) => i === 0 || range.first > (sorted[i - 1]?.last ?? 0));
  if (!disjoint) return (key) => ranges.find(({ first, last }) => first <= key && key <= last)?.element;
  return (key) => {
    let low = 0;
    let high = sorted.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = sorted[middle];
      if (range === undefined || key < range.first) high = middle - 1;
      else if (key > range.last) low = middle + 1;
      else return range.element;
    }
    return undefined;
  };
}

/** Elements that have intervals in the same components; by what they have in the others. */
interface Group {
  /** Which components are intervals. */
  readonly ranged: readonly number[];
  readonly byExact: Map<string, { readonly elements: Element[]; find?: (key: string) => PreparedElement | undefined }>;
}

function concatenations(set: NftSet): PreparedSet["find"] {
  const places = placesOf(set.key);
  const groups = new Map<string, Group>();
  for (const element of set.elements) {
    const ranged = set.key.flatMap((_, i) => (isRanged(element.key[i]) ? [i] : []));
    const id = ranged.join();
    const group = groups.get(id) ?? { ranged, byExact: new Map() };
    groups.set(id, group);
    const exactKey = set.key
      .map((type, i) => (ranged.includes(i) ? "" : component(type, scalarOf(type, exactValue(element.key[i])))))
      .join("");
    const bucket = group.byExact.get(exactKey) ?? { elements: [] };
    group.byExact.set(exactKey, bucket);
    bucket.elements.push(element);
  }
  const list = [...groups.values()];
  return (key) => {
    if (typeof key === "number") return undefined;
    for (const group of list) {
      const found = findInGroup(set, places, group, key);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

function isRanged(part: Element["key"][number] | undefined): boolean {
  return part !== undefined && isInterval(part);
}

function placesOf(types: readonly Datatype[]): readonly (readonly [start: number, end: number])[] {
  let at = 0;
  return types.map((type) => {
    const start = at;
    at += unitsOf(type);
    return [start, at];
  });
}

function findInGroup(set: NftSet, places: ReturnType<typeof placesOf>, group: Group, key: string): PreparedElement | undefined {
  let exactKey = "";
  for (const [i, [start, end]] of places.entries()) if (!group.ranged.includes(i)) exactKey += key.slice(start, end);
  const bucket = group.byExact.get(exactKey);
  if (bucket === undefined) return undefined;
  bucket.find ??= bucketSearcher(set, places, group.ranged, bucket.elements);
  return bucket.find(key);
}

function bucketSearcher(
  set: NftSet,
  places: ReturnType<typeof placesOf>,
  ranged: readonly number[],
  elements: readonly Element[],
): (key: string) => PreparedElement | undefined {
  const rows = elements.map((element) => ({
    element: prepareElement(set, element),
    ranges: ranged.map((i) => {
      const type = set.key[i] ?? "index";
      const { first, last } = rangeOf(type, element.key[i]);
      return { first: component(type, first), last: component(type, last) };
    }),
  }));
  const [only, another] = ranged;
  if (only !== undefined && another === undefined) {
    const [start, end] = places[only] ?? [0, 0];
    const search = searcher(rows.flatMap(({ element, ranges }) => ranges.map((range) => ({ ...range, element }))));
    return (key) => search(key.slice(start, end));
  }
  return (key) =>
    rows.find(({ ranges }) =>
      ranges.every(({ first, last }, n) => {
        const [start, end] = places[ranged[n] ?? 0] ?? [0, 0];
        const part = key.slice(start, end);
        return first <= part && part <= last;
      }),
    )?.element;
}
