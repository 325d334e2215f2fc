// One service port of one family: all frontends that share its backends, compiled into chains of the table `nat`.
import { hostPrefix } from "#ip";
import type { Backend, Frontend } from "../types.ts";
import { chainName, FRAME } from "./names.ts";
import { formatRule, type Rule, type Target } from "./rules.ts";

/** Frontends that share it are compiled together. */
export function servicePortId({ service, protocol }: Frontend): string {
  return `${service} ${protocol}`;
}

export interface CompiledPort {
  /** Each after those it leads to. */
  readonly chains: ReadonlyMap<string, readonly Rule[]>;
  /** Where packets to a frontend go on, by key. Frontends without backends are not in it. */
  readonly entries: ReadonlyMap<string, string>;
}

/** Clients are remembered per service port and backend, whichever frontend they used. */
export function endpointChain(id: string, backend: Backend): string {
  return chainName("SEP", `${id} ${backend.id}`);
}

/** `frontends`: all with this id, in any order. */
export function compilePort(id: string, frontends: Iterable<Frontend>): CompiledPort {
  const port = new PortCompiler(id);
  const entries = new Map<string, string>();
  for (const frontend of [...frontends].sort(clusterIpFirst)) {
    const to = port.add(frontend);
    if (to !== undefined) entries.set(frontend.key, to);
  }
  return { chains: port.chains(), entries };
}

/** Then a list that a ClusterIP and others have in common keeps its chain when the others change their policy. */
function clusterIpFirst(a: Frontend, b: Frontend): number {
  if ((a.kind === "ClusterIP") !== (b.kind === "ClusterIP")) return a.kind === "ClusterIP" ? -1 : 1;
  return a.key < b.key ? -1 : 1;
}

interface List {
  readonly chain: string;
  readonly backends: readonly Backend[];
  readonly seconds: number | undefined;
  readonly protocol: number;
  readonly clusterIps: Frontend[];
}

class PortCompiler {
  readonly #id: string;
  readonly #lists = new Map<string, List>();
  /** EXT and FW chains by what they do; frontends that differ in nothing but their address share one. */
  readonly #ways = new Map<string, { readonly chain: string; readonly rules: readonly Rule[] }>();

  constructor(id: string) {
    this.#id = id;
  }

  /** Returns the chain that packets to it go to. */
  add(frontend: Frontend): string | undefined {
    const { backends, inside = [], kind } = frontend;
    if (backends.length + inside.length === 0) return undefined;
    if (kind === "ClusterIP") {
      const list = this.#list(frontend, backends);
      list.clusterIps.push(frontend);
      return list.chain;
    }
    const rules = this.#externalRules(frontend);
    const external = this.#way("EXT", rules);
    if (frontend.sources === undefined) return external;
    // Whom no rule takes comes back untranslated, and is dropped in `filter`.
    return this.#way(
      "FW",
      frontend.sources.map((src): Rule => ({ src, target: jump(external) })),
    );
  }

  chains(): Map<string, readonly Rule[]> {
    const out = new Map<string, readonly Rule[]>();
    for (const list of this.#lists.values()) {
      for (const backend of list.backends) {
        if (needsChain(backend, list.seconds)) out.set(endpointChain(this.#id, backend), this.#endpointRules(backend, list));
      }
      out.set(list.chain, this.#listRules(list));
    }
    for (const { chain, rules } of this.#ways.values()) out.set(chain, rules);
    return out;
  }

  #list({ protocol, affinitySeconds }: Frontend, backends: readonly Backend[]): List {
    const content = `${backends.map(({ id }) => id).join()} ${affinitySeconds}`;
    const known = this.#lists.get(content);
    if (known !== undefined) return known;
    const chain = chainName("SVC", `${this.#id} ${this.#lists.size}`);
    const list: List = { chain, backends, seconds: affinitySeconds, protocol, clusterIps: [] };
    this.#lists.set(content, list);
    return list;
  }

  #way(kind: "EXT" | "FW", rules: readonly Rule[]): string {
    const content = `${kind} ${rules.map(formatRule).join()}`;
    const known = this.#ways.get(content);
    if (known !== undefined) return known.chain;
    const chain = chainName(kind, `${this.#id} ${this.#ways.size}`);
    this.#ways.set(content, { chain, rules });
    return chain;
  }

  #externalRules(frontend: Frontend): Rule[] {
    const { backends, inside } = frontend;
    const toMasquerade: Target = { kind: "mark", bit: "masquerade", on: true };
    const all: Rule[] = backends.length > 0 ? [{ target: jump(this.#list(frontend, backends).chain) }] : [];
    if (inside === undefined) return [{ target: toMasquerade }, ...all];
    const insideFirst: Rule[] =
      inside.length > 0 ? [{ target: jump(FRAME.inside) }, { marked: "inside", target: jump(this.#list(frontend, inside).chain) }] : [];
    // The node's own address may be one that backends elsewhere have no way back to.
    return [{ fromNode: true, target: toMasquerade }, ...insideFirst, ...all];
  }

  /** Each rule but the last takes its part of what came so far: 1/3, then half of the rest, then the rest. */
  #listRules({ backends, clusterIps, protocol, seconds }: List): Rule[] {
    const clusterIp = clusterIps.map(
      ({ addr, port }): Rule => ({ dst: hostPrefix(addr), protocol, dport: { from: port, to: port }, target: jump(FRAME.fromOutside) }),
    );
    const known = seconds === undefined ? [] : backends.map((backend) => this.#knownRule(backend, seconds));
    const pick = backends.map((backend, i): Rule => {
      const rest = backends.length - i;
      const part = rest > 1 ? { probability: 1 / rest } : {};
      if (needsChain(backend, seconds)) return { ...part, target: jump(endpointChain(this.#id, backend)) };
      return { protocol, ...part, target: dnat(backend) };
    });
    return [...clusterIp, ...known, ...pick];
  }

  #knownRule(backend: Backend, seconds: number): Rule {
    const name = endpointChain(this.#id, backend);
    return { recent: { name, family: backend.addr.family, withinSeconds: seconds }, target: jump(name) };
  }

  #endpointRules(backend: Backend, { protocol, seconds }: List): Rule[] {
    const { addr, local } = backend;
    // Who reaches itself needs another source address, or it would answer itself directly.
    const hairpin: Rule[] = local ? [{ src: hostPrefix(addr), target: { kind: "mark", bit: "masquerade", on: true } }] : [];
    const recent = seconds === undefined ? {} : { recent: { name: endpointChain(this.#id, backend), family: addr.family } };
    return [...hairpin, { protocol, ...recent, target: dnat(backend) }];
  }
}

/** A backend that is only an address stands in the list's own rule: on most nodes that is most of them. */
function needsChain({ local }: Backend, seconds: number | undefined): boolean {
  return local || seconds !== undefined;
}

function jump(chain: string): Target {
  return { kind: "jump", chain };
}

function dnat({ addr, port }: Backend): Target {
  return { kind: "dnat", addr, port };
}
