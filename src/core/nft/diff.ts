// From the table that is to the table that should be, as steps of one transaction.
import type { Chain, Change, Element, NftSet, SetHeader, Table, TableId } from "./ast.ts";
import { formatBase, formatData, formatKey, formatRule, formatSetHeader } from "./format.ts";

export interface Diff {
  /** One transaction: after it, every packet meets the desired table. */
  readonly changes: readonly Change[];
  /**
   * Chains that are left over. Linux >= 6.2 takes `[...changes, ...cleanup]` as one transaction. Older kernels still count the
   * references of elements that the same transaction deletes, and refuse (EBUSY): they need `cleanup` in a transaction of its own,
   * a second later (kubernetes-sigs/knftables README).
   */
  readonly cleanup: readonly Change[];
}

/**
 * The steps from `current` (absent: there is no such table) to `desired`. Elements of sets with the flag "dynamic" belong to the
 * packet path and stay as they are.
 *
 * The order is what references ask for: a set cannot go while a rule uses it, nor a chain while a rule or element jumps to it; an
 * element needs its chain, a rule its sets and chains. Base chains and rules come last, so that a transaction that is too large for
 * the socket may be cut before them: what was loaded until then is reached by no packet.
 */
export function diffTable(current: Table | undefined, desired: Table): Diff {
  const table: TableId = { family: desired.family, name: desired.name };
  const add: Change = { op: "add table", table, ...(desired.comment !== undefined && { comment: desired.comment }) };
  const sets = diffSets(table, current?.sets ?? [], desired.sets);
  const chains = diffChains({ table, current: current?.chains ?? [], desired: desired.chains, replacedSets: sets.replaced });
  return {
    changes: [
      ...(current === undefined ? [add] : []),
      ...chains.flush,
      ...sets.deleteElements,
      ...chains.replace,
      ...sets.remove,
      ...sets.add,
      ...chains.add,
      ...sets.addElements,
      ...chains.addBase,
      ...chains.addRules,
    ],
    cleanup: chains.remove,
  };
}

interface SetSteps {
  readonly replaced: ReadonlySet<string>;
  readonly deleteElements: readonly Change[];
  readonly remove: readonly Change[];
  readonly add: readonly Change[];
  readonly addElements: readonly Change[];
}

function diffSets(table: TableId, current: readonly NftSet[], desired: readonly NftSet[]): SetSteps {
  const before = new Map(current.map((set) => [set.name, set]));
  const wanted = new Map(desired.map((set) => [set.name, set]));
  const gone = (set: NftSet): boolean => {
    const next = wanted.get(set.name);
    return next === undefined || formatSetHeader(next) !== formatSetHeader(set);
  };
  const removed = current.filter(gone);
  const replaced = new Set(removed.map((set) => set.name));
  const deleteElements: Change[] = [];
  const addElements: Change[] = [];
  for (const next of desired) {
    const old = replaced.has(next.name) ? undefined : before.get(next.name);
    const set = headerOf(next);
    const { remove, add } = diffElements(set, old?.elements ?? [], next.elements);
    if (remove.length > 0) deleteElements.push({ op: "delete elements", table, set, elements: remove });
    if (add.length > 0) addElements.push({ op: "add elements", table, set, elements: add });
  }
  const isNew = (set: NftSet): boolean => !before.has(set.name) || replaced.has(set.name);
  return {
    replaced,
    deleteElements,
    remove: removed.map((set) => ({ op: "delete set", table, set: set.name })),
    add: desired.filter(isNew).map((set) => ({ op: "add set", table, set: headerOf(set) })),
    addElements,
  };
}

/** The set without its elements. */
export function headerOf(set: NftSet): SetHeader {
  const { elements: _, ...header } = set;
  return header;
}

/** A changed element is removed and added: the kernel refuses to put other data under a key that is there. */
export function diffElements(
  set: SetHeader,
  current: readonly Element[],
  desired: readonly Element[],
): { readonly remove: readonly Element[]; readonly add: readonly Element[] } {
  if (set.flags?.includes("dynamic") === true) return { remove: [], add: [] };
  if (current.length === 0) return { remove: [], add: desired };
  const before = new Map(current.map((element) => [formatKey(set, element), element]));
  const remove: Element[] = [];
  const add: Element[] = [];
  for (const element of desired) {
    const key = formatKey(set, element);
    const old = before.get(key);
    before.delete(key);
    if (old !== undefined && sameValue(set, old, element)) continue;
    if (old !== undefined) remove.push(old);
    add.push(element);
  }
  return { remove: [...before.values(), ...remove], add };
}

function sameValue(set: SetHeader, a: Element, b: Element): boolean {
  if (a.comment !== b.comment || a.timeoutMs !== b.timeoutMs) return false;
  if (a.data === undefined || b.data === undefined) return a.data === b.data;
  return formatData(set, a.data) === formatData(set, b.data);
}

interface ChainInput {
  readonly table: TableId;
  readonly current: readonly Chain[];
  readonly desired: readonly Chain[];
  readonly replacedSets: ReadonlySet<string>;
}

interface ChainSteps {
  readonly flush: readonly Change[];
  readonly replace: readonly Change[];
  readonly add: readonly Change[];
  readonly addBase: readonly Change[];
  readonly addRules: readonly Change[];
  readonly remove: readonly Change[];
}

function diffChains({ table, current, desired, replacedSets }: ChainInput): ChainSteps {
  const before = new Map(current.map((chain) => [chain.name, chain]));
  const wanted = new Set(desired.map((chain) => chain.name));
  const removed = current.filter((chain) => !wanted.has(chain.name));
  // A base chain's hook, priority and type cannot be changed, nor can a chain be made a base chain: it is made anew.
  const replaced = desired.filter((chain) => {
    const old = before.get(chain.name);
    return old !== undefined && baseText(old) !== baseText(chain);
  });
  const isNew = (chain: Chain): boolean => !before.has(chain.name) || replaced.includes(chain);
  const dirty = desired.filter((chain) => isNew(chain) || rulesDiffer(before.get(chain.name), chain, replacedSets));
  const addChain = (chain: Chain): Change => ({
    op: "add chain",
    table,
    chain: chain.name,
    ...(chain.base !== undefined && { base: chain.base }),
    ...(chain.comment !== undefined && { comment: chain.comment }),
  });
  const flushed = [...removed, ...dirty.flatMap((chain) => before.get(chain.name) ?? [])].filter((chain) => chain.rules.length > 0);
  const remove = (chain: Chain): Change => ({ op: "delete chain", table, chain: chain.name });
  const fresh = desired.filter(isNew);
  return {
    flush: flushed.map((chain) => ({ op: "flush chain", table, chain: chain.name })),
    // A base chain that is no longer wanted is referred to by nothing, and must not stay on its hook.
    replace: [...replaced, ...removed.filter((chain) => chain.base !== undefined)].map(remove),
    add: fresh.filter((chain) => chain.base === undefined).map(addChain),
    addBase: fresh.filter((chain) => chain.base !== undefined).map(addChain),
    addRules: dirty.flatMap((chain) => chain.rules.map((rule): Change => ({ op: "add rule", table, chain: chain.name, rule }))),
    remove: removed.filter((chain) => chain.base === undefined).map(remove),
  };
}

function baseText(chain: Chain): string {
  return chain.base === undefined ? "" : formatBase(chain.base);
}

/** Whether the chain has to be written anew: its rules are others, or use a set that is made anew. */
function rulesDiffer(old: Chain | undefined, next: Chain, replacedSets: ReadonlySet<string>): boolean {
  const text = (chain: Chain | undefined): string[] => (chain?.rules ?? []).map((rule) => formatRule(rule, { stateless: true }));
  const rules = text(next);
  const oldRules = text(old);
  if (rules.length !== oldRules.length || rules.some((rule, i) => rule !== oldRules[i])) return true;
  return rules.some((rule) => [...rule.matchAll(/@([\w./-]+)/g)].some((match) => replacedSets.has(match[1] ?? "")));
}
