// All our chains of one family, as text, and what becomes of them when frontends change. Pure: what the kernel holds follows from the
// frontends that were given so far.
import { type Family, hostPrefix } from "#ip";
import type { FrontendUpdate } from "../dataplane.ts";
import type { ClusterCidrs, Frontend } from "../types.ts";
import { Dispatch, type Leaf } from "./dispatch.ts";
import { filterTail, frameChains } from "./frame.ts";
import { FRAME } from "./names.ts";
import { formatChain, formatRule, type Rule, TABLES, type TableName, type Target } from "./rules.ts";
import { compilePort, endpointChain, servicePortId } from "./service-port.ts";

/** Chains with their rules as iptables-save prints them, each after those it leads to; undefined: not there. */
export type ChainTexts = Map<string, string | undefined>;
export type TableTexts = Readonly<Record<TableName, ChainTexts>>;

/** Whose clients a list of xt_recent remembers. */
export interface ListOwner {
  /** Key of the first frontend of the service port. */
  readonly frontend: string;
  readonly backend: string;
  /** How long. */
  readonly seconds: number;
}

export class Ruleset {
  readonly #family: Family;
  readonly #cidrs: ClusterCidrs;
  /** Frontends by key, by service port. */
  readonly #ports = new Map<string, Map<string, Frontend>>();
  readonly #frontends = new Map<string, Frontend>();
  readonly #dispatch: Readonly<Record<TableName, Dispatch>>;
  #counts: Record<TableName, number> = { filter: 0, nat: 0 };

  constructor(family: Family, cidrs: ClusterCidrs, frontends: Iterable<Frontend> = []) {
    this.#family = family;
    this.#cidrs = cidrs;
    this.#dispatch = {
      filter: new Dispatch(FRAME.filter, filterTail(family, cidrs).map(formatRule)),
      nat: new Dispatch(FRAME.services),
    };
    for (const frontend of frontends) this.#put(frontend.key, frontend);
    for (const id of this.#ports.keys()) this.#connect(id);
  }

  /** How many rules each table has of ours, since `all` was last asked for them. */
  get counts(): Readonly<Record<TableName, number>> {
    return this.#counts;
  }

  /** Every chain that should be there. */
  all(): TableTexts {
    const out: TableTexts = { filter: new Map(), nat: new Map() };
    const frame = frameChains(this.#family, this.#cidrs);
    for (const table of TABLES) for (const [name, rules] of frame[table]) out[table].set(name, formatChain(name, rules.map(formatRule)));
    for (const id of this.#ports.keys()) this.#textsOf(id, out.nat);
    for (const table of TABLES) this.#dispatchTexts(table, this.#dispatch[table].names(), out);
    this.#counts = { filter: countRules(out.filter), nat: countRules(out.nat) };
    return out;
  }

  /** Chains that are others now. From then on they count as written. */
  update(updates: readonly FrontendUpdate[]): TableTexts {
    const ports = new Set<string>();
    for (const { key, next } of updates) {
      const old = this.#frontends.get(key);
      if (old !== undefined) ports.add(servicePortId(old));
      if (next !== undefined) ports.add(servicePortId(next));
    }
    const concerned = new Map(updates.flatMap(({ next }) => (next === undefined ? [] : [[next.key, next] as const])));
    for (const id of ports) for (const [key, frontend] of this.#ports.get(id) ?? []) if (!concerned.has(key)) concerned.set(key, frontend);
    const gone = updates.flatMap(({ key }) => this.#frontends.get(key) ?? []);
    const paths = this.#pathsOf([...concerned.values(), ...gone]);
    const before = this.#texts(ports, paths);
    for (const frontend of gone) for (const table of TABLES) this.#dispatch[table].delete(frontend);
    for (const { key, next } of updates) this.#put(key, next);
    for (const id of ports) this.#connect(id);
    const after = this.#texts(ports, paths);
    for (const table of TABLES) this.#counts[table] += countRules(after[table]) - countRules(before[table]);
    return difference(before, after);
  }

  /** By name of the list. */
  affinityLists(): Map<string, ListOwner> {
    const out = new Map<string, ListOwner>();
    for (const [id, frontends] of this.#ports) {
      const [first] = [...frontends.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      const seconds = first?.affinitySeconds;
      if (first === undefined || seconds === undefined) continue;
      for (const { backends, inside = [] } of frontends.values()) {
        for (const backend of [...backends, ...inside]) {
          out.set(endpointChain(id, backend), { frontend: first.key, backend: backend.id, seconds });
        }
      }
    }
    return out;
  }

  #put(key: string, next: Frontend | undefined): void {
    const old = this.#frontends.get(key);
    if (old !== undefined) {
      const id = servicePortId(old);
      const port = this.#ports.get(id);
      port?.delete(key);
      if (port?.size === 0) this.#ports.delete(id);
      this.#frontends.delete(key);
    }
    if (next === undefined) return;
    this.#frontends.set(key, next);
    const id = servicePortId(next);
    const port = this.#ports.get(id) ?? new Map<string, Frontend>();
    this.#ports.set(id, port.set(key, next));
  }

  /** Puts the service port's frontends where packets find them. */
  #connect(id: string): void {
    const frontends = this.#ports.get(id);
    if (frontends === undefined) return;
    const { entries } = compilePort(id, frontends.values());
    for (const frontend of frontends.values()) {
      const to = entries.get(frontend.key);
      const nat = to === undefined ? undefined : { exact: exactRule(frontend, { kind: "jump", chain: to }) };
      this.#place("nat", frontend, nat);
      this.#place("filter", frontend, refusal(frontend));
    }
  }

  #place(table: TableName, frontend: Frontend, leaf: Leaf | undefined): void {
    if (leaf === undefined) this.#dispatch[table].delete(frontend);
    else this.#dispatch[table].set(frontend, leaf);
  }

  #pathsOf(frontends: readonly Frontend[]): Readonly<Record<TableName, ReadonlySet<string>>> {
    const paths = { filter: new Set<string>(), nat: new Set<string>() };
    for (const table of TABLES) {
      for (const frontend of frontends) for (const name of this.#dispatch[table].pathTo(frontend)) paths[table].add(name);
    }
    return paths;
  }

  #texts(ports: ReadonlySet<string>, paths: Readonly<Record<TableName, ReadonlySet<string>>>): TableTexts {
    const out: TableTexts = { filter: new Map(), nat: new Map() };
    for (const id of ports) this.#textsOf(id, out.nat);
    for (const table of TABLES) this.#dispatchTexts(table, paths[table], out);
    return out;
  }

  /** `names`: from the root outward. */
  #dispatchTexts(table: TableName, names: Iterable<string>, out: TableTexts): void {
    for (const name of [...names].reverse()) {
      const text = this.#dispatch[table].text(name);
      if (text !== undefined) out[table].set(name, text);
    }
  }

  #textsOf(id: string, out: ChainTexts): void {
    const { chains } = compilePort(id, this.#ports.get(id)?.values() ?? []);
    for (const [name, rules] of chains) out.set(name, formatChain(name, rules.map(formatRule)));
  }
}

/** The rule that only packets to this frontend match, and the one place that says whose it is. */
function exactRule({ addr, port, protocol, service }: Frontend, target: Target): string {
  return formatRule({ dst: hostPrefix(addr), protocol, dport: { from: port, to: port }, comment: service, target });
}

/** What `filter` does with packets that nobody has translated. Undefined: it is not its affair. */
function refusal(frontend: Frontend): Leaf | undefined {
  const { addr, backends, kind, sources, whenEmpty } = frontend;
  const refuse: Target = { kind: "jump", chain: FRAME.refuse };
  const drop: Target = { kind: "drop" };
  const noSuchPort: Rule = { dst: hostPrefix(addr), comment: "no such port", target: refuse };
  const address = kind === "ClusterIP" ? { address: formatRule(noSuchPort) } : undefined;
  if (backends.length === 0) return { ...address, exact: exactRule(frontend, whenEmpty === "drop" ? drop : refuse) };
  if (sources !== undefined) return { ...address, exact: exactRule(frontend, drop) };
  return address;
}

export function countRules(chains: ChainTexts): number {
  let count = 0;
  for (const text of chains.values()) if (text !== undefined && text !== "") count += text.split("\n").length;
  return count;
}

function difference(before: TableTexts, after: TableTexts): TableTexts {
  const out: TableTexts = { filter: new Map(), nat: new Map() };
  for (const table of TABLES) {
    for (const name of before[table].keys()) if (!after[table].has(name)) after[table].set(name, undefined);
    for (const [name, text] of after[table]) if (before[table].get(name) !== text) out[table].set(name, text);
  }
  return out;
}
