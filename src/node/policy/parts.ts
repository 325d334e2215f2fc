// A change that is too large for one transaction, in several, of which one makes the difference. Pure.
//
// What no packet can come to yet is written first, in as many transactions as it takes: rules get new sets and chains when they say something
// else (see compile-rule.ts). One transaction then leads packets there. What packets can no longer come to goes last.
import type { Change, Table } from "#nft";

export interface Parts {
  readonly prepare: readonly (readonly Change[])[];
  /** The one that packets notice. */
  readonly change: readonly Change[];
  readonly finish: readonly (readonly Change[])[];
}

/** Elements of one step: some 30 kB. */
const CHUNK = 250;

export function inParts(current: Table | undefined, changes: readonly Change[]): Parts {
  const used = current === undefined ? NOTHING : reachable(current);
  const added = new Set(changes.flatMap((step) => (step.op === "add set" ? [step.set.name] : [])));
  const written = new Set(changes.flatMap((step) => (step.op === "add rule" ? [step.chain] : [])));
  const bases = new Set(changes.flatMap((step) => (step.op === "add chain" && step.base !== undefined ? [step.chain] : [])));
  const remade = changes.some((step) => step.op === "delete set" && added.has(step.set) && used.sets.has(step.set));
  const phaseOf = (step: Change): keyof Parts => {
    switch (step.op) {
      case "add table":
        return "prepare";
      case "add set":
      case "add elements":
      case "delete elements":
        return used.sets.has(step.set.name) ? "change" : "prepare";
      case "delete set":
        if (!added.has(step.set)) return "finish";
        return used.sets.has(step.set) ? "change" : "prepare";
      case "flush chain":
        if (written.has(step.chain)) return used.chains.has(step.chain) ? "change" : "prepare";
        return remade ? "change" : "finish";
      case "add chain":
      case "add rule":
        return used.chains.has(step.chain) || bases.has(step.chain) ? "change" : "prepare";
      default:
        return "change";
    }
  };
  const of = (phase: keyof Parts): Change[] => changes.filter((step) => phaseOf(step) === phase);
  return { prepare: of("prepare").flatMap(chunks), change: of("change"), finish: of("finish").flatMap(chunks) };
}

/** Few enough for any socket, beside all else. */
const IN_PLACE = 500;

/**
 * The sets whose elements would change where packets see them, one transaction after another, if they are more than fit into one:
 * these are to be replaced as a whole. Maps of chains are not among them: they have an element for each pod of the node.
 */
export function setsChanged(changes: readonly Change[]): ReadonlySet<string> {
  const names = new Set<string>();
  let count = 0;
  for (const step of changes) {
    if ((step.op !== "add elements" && step.op !== "delete elements") || step.set.data !== undefined) continue;
    names.add(step.set.name);
    count += step.elements.length;
  }
  return count > IN_PLACE ? names : new Set();
}

function chunks(step: Change): Change[][] {
  if (step.op !== "add elements" && step.op !== "delete elements") return [[step]];
  const out: Change[][] = [];
  for (let i = 0; i < step.elements.length; i += CHUNK) out.push([{ ...step, elements: step.elements.slice(i, i + CHUNK) }]);
  return out;
}

interface Names {
  readonly sets: Set<string>;
  readonly chains: Set<string>;
}

const NOTHING: Names = { sets: new Set(), chains: new Set() };

/** What a packet can come to. */
function reachable(table: Table): Names {
  const found: Names = { sets: new Set(), chains: new Set() };
  const chains = new Map(table.chains.map((chain) => [chain.name, chain]));
  const sets = new Map(table.sets.map((set) => [set.name, set]));
  const waiting = table.chains.filter(({ base }) => base !== undefined).map(({ name }) => name);
  const visitMap = (name: string): void => {
    if (found.sets.has(name)) return;
    found.sets.add(name);
    for (const { data } of sets.get(name)?.elements ?? []) if (data !== undefined && "chain" in data) waiting.push(data.chain);
  };
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.chains.has(name)) continue;
    found.chains.add(name);
    for (const statement of (chains.get(name)?.rules ?? []).flatMap(({ statements }) => statements)) {
      if (statement.kind === "in") found.sets.add(statement.set);
      else if (statement.kind === "vmap") visitMap(statement.map);
      else if (statement.kind === "verdict" && "chain" in statement.verdict) waiting.push(statement.verdict.chain);
    }
  }
  return found;
}
