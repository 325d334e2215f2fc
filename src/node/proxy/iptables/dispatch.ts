// The way from all frontends to one. Rules are tried one after another, so ten thousand frontends in one chain are five thousand rules
// for the middle one, and one more frontend is a chain of ten thousand to be written anew. Here each chain has at most 16 branches per
// protocol, below the first: an address is found by its prefixes, a NodePort by ranges of ports, and one more frontend writes one chain.
import { addrBits, formatAddr, formatPrefix, hostPrefix, maskPrefix } from "#ip";
import type { Frontend } from "../types.ts";
import { chainName } from "./names.ts";
import { formatChain, formatRule, type Rule } from "./rules.ts";

/** From the last bit of an address: /20, /24, /28 of IPv4. */
const PREFIX_LEVELS: readonly number[] = [12, 8, 4];

/** Of 32,768 NodePorts 128 branches, of the 2,768 that are usual 11; then 16, and 16. */
const PORT_LEVELS: readonly number[] = [8, 4];

interface Step {
  readonly chain: string;
  /** What packets must match to get there. */
  readonly match: Omit<Rule, "target">;
}

function stepsTo({ addr, kind, port, protocol }: Frontend): Step[] {
  if (kind !== "NodePort") {
    return PREFIX_LEVELS.map((level) => {
      const dst = maskPrefix({ addr, bits: addrBits(addr.family) - level });
      return { chain: chainName("NET", formatPrefix(dst)), match: { dst } };
    });
  }
  const at = formatAddr(addr);
  const ranges = PORT_LEVELS.map((level): Step => {
    const from = (port >> level) << level;
    const dport = { from, to: from + 2 ** level - 1 };
    return { chain: chainName("PORT", `${at} ${protocol} ${from}/${level}`), match: { protocol, dport } };
  });
  return [{ chain: chainName("PORT", at), match: { dst: hostPrefix(addr) } }, ...ranges];
}

interface Node {
  readonly parent: Node | undefined;
  readonly chain: string;
  /** The rule in the parent that leads here. */
  readonly rule: string;
  readonly children: Map<string, Node>;
  /** By key of the frontend. */
  readonly leaves: Map<string, Leaf>;
}

/** Rules, as text, for one frontend; one for its address alone comes after all that are for a port, and once for all frontends there. */
export interface Leaf {
  readonly exact?: string;
  readonly address?: string;
}

export class Dispatch {
  readonly #root: Node;
  /** The root's last rules. */
  readonly #tail: readonly string[];
  readonly #nodes = new Map<string, Node>();

  constructor(rootChain: string, tail: readonly string[] = []) {
    this.#root = { parent: undefined, chain: rootChain, rule: "", children: new Map(), leaves: new Map() };
    this.#tail = tail;
    this.#nodes.set(rootChain, this.#root);
  }

  /** Names of the chains on the way to the frontend, whether they are there or not. */
  pathTo(frontend: Frontend): string[] {
    return [this.#root.chain, ...stepsTo(frontend).map(({ chain }) => chain)];
  }

  set(frontend: Frontend, leaf: Leaf): void {
    let node = this.#root;
    for (const step of stepsTo(frontend)) node = node.children.get(step.chain) ?? this.#grow(node, step);
    node.leaves.set(frontend.key, leaf);
  }

  delete(frontend: Frontend): void {
    const last = this.pathTo(frontend).at(-1);
    let node = last === undefined ? undefined : this.#nodes.get(last);
    node?.leaves.delete(frontend.key);
    while (node?.parent !== undefined && node.children.size + node.leaves.size === 0) {
      this.#nodes.delete(node.chain);
      node.parent.children.delete(node.chain);
      node = node.parent;
    }
  }

  /** Of all chains that are there; each comes after the one that leads to it. */
  names(): MapIterator<string> {
    return this.#nodes.keys();
  }

  /** A chain's text; undefined: there is none of that name. */
  text(chain: string): string | undefined {
    const node = this.#nodes.get(chain);
    if (node === undefined) return undefined;
    const branches = [...node.children.values()].map(({ rule }) => rule).sort();
    const leaves = [...node.leaves].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, leaf]) => leaf);
    const exact = leaves.flatMap((leaf) => leaf.exact ?? []);
    const addresses = new Set(leaves.flatMap((leaf) => leaf.address ?? []));
    return formatChain(chain, [...branches, ...exact, ...addresses, ...(node === this.#root ? this.#tail : [])]);
  }

  #grow(parent: Node, { chain, match }: Step): Node {
    const rule = formatRule({ ...match, target: { kind: "jump", chain } });
    const node: Node = { parent, chain, rule, children: new Map(), leaves: new Map() };
    parent.children.set(chain, node);
    this.#nodes.set(chain, node);
    return node;
  }
}
