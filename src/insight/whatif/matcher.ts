// Whom the selectors and blocks of policies mean, as lists of atoms; each question is asked once. Pure.
import type { Family } from "#ip";
import { formatParsedSelector, matchLabels, type ParsedLabelSelector } from "#kube";
import type { PodFacts } from "#netpol";
import type { Atom, Partition, PodAtom } from "./atoms.ts";
import type { LayeredPolicy, LayeredRule, Term, World } from "./types.ts";

/** Indices of atoms, ascending. */
export type AtomList = Int32Array;

const NO_CLASS = -1;

export class Matcher {
  readonly world: World;
  readonly #partition: Partition;
  readonly #which: number;
  readonly #byNamespace = new Map<string, PodAtom[]>();
  readonly #pods = new Map<string, AtomList>();
  readonly #rules = new WeakMap<LayeredRule, Record<Family, AtomList>>();
  readonly #texts = new WeakMap<ParsedLabelSelector, string>();
  readonly #classes = new Map<Family, Int32Array>();
  readonly #everyone: Record<Family, AtomList>;
  /** By the atom's index, 1 where it is there: asked for each pair. */
  readonly #present: Record<Family, Uint8Array>;

  /** `which`: the place of the world in the partition. */
  constructor(partition: Partition, which: number) {
    this.#partition = partition;
    this.#which = which;
    this.world = partition.worlds[which] ?? { pods: new Map(), namespaces: new Map(), nodes: [], policies: [] };
    for (const atom of partition.podAtoms) {
      const namespace = atom.facts[which]?.namespace;
      if (namespace === undefined) continue;
      const own = this.#byNamespace.get(namespace);
      if (own === undefined) this.#byNamespace.set(namespace, [atom]);
      else own.push(atom);
    }
    const presentIn = (family: Family): Uint8Array => Uint8Array.from(partition.atoms, (atom) => (this.#isPresent(atom, family) ? 1 : 0));
    this.#present = { 4: presentIn(4), 6: presentIn(6) };
    this.#everyone = { 4: this.#listOf((atom) => this.has(atom, 4)), 6: this.#listOf((atom) => this.has(atom, 6)) };
  }

  facts(atom: Atom): PodFacts | undefined {
    return atom.kind === "pods" ? atom.facts[this.#which] : undefined;
  }

  /** Whether it is there in this world, with an address of the family. */
  has({ index }: Atom, family: Family): boolean {
    return this.#present[family][index] === 1;
  }

  #isPresent(atom: Atom, family: Family): boolean {
    if (atom.kind === "block") return atom.family === family;
    if (atom.kind === "nodes") return atom.nodes.some(({ addrs }) => addrs.some((addr) => addr.family === family));
    return atom.facts[this.#which]?.addrs.some((addr) => addr.family === family) === true;
  }

  everyone(family: Family): AtomList {
    return this.#everyone[family];
  }

  subjects(policy: LayeredPolicy): AtomList {
    return union(policy.subjects.map((term) => this.#podsOf(term.namespaces, term.pods)));
  }

  /** Whom a rule is about, of those with an address of the family. */
  peers(rule: LayeredRule, family: Family): AtomList {
    if (rule.peers === undefined) return this.#everyone[family];
    const known = this.#rules.get(rule)?.[family];
    if (known !== undefined) return known;
    const found = { 4: this.#peersOf(rule.peers, 4), 6: this.#peersOf(rule.peers, 6) };
    this.#rules.set(rule, found);
    return found[family];
  }

  #peersOf(terms: readonly Term[], family: Family): AtomList {
    const atoms = this.#partition.atoms;
    return union(terms.map((term) => this.of(term, family))).filter((index) => {
      const atom = atoms[index];
      return atom !== undefined && this.has(atom, family);
    });
  }

  of(term: Term, family: Family): AtomList {
    if (term.kind === "pods") return this.#podsOf(term.namespaces, term.pods);
    if (term.kind === "nodes") {
      return this.#listOf((atom) => atom.kind === "nodes" && matchLabels(term.nodes, atom.nodes[0]?.labels ?? {}));
    }
    const inside = this.#partition.classes[family].inside(term);
    const classes = this.#classesOf(family);
    return this.#listOf(({ index }) => inside.has(classes[index] ?? NO_CLASS));
  }

  /** The class of each atom's address; `NO_CLASS` where it has none of the family. */
  #classesOf(family: Family): Int32Array {
    const known = this.#classes.get(family);
    if (known !== undefined) return known;
    const { classes, atoms } = this.#partition;
    const found = Int32Array.from(atoms, (atom) => {
      const addr = this.addrOf(atom, family);
      return addr === undefined ? NO_CLASS : classes[family].classOf(addr);
    });
    this.#classes.set(family, found);
    return found;
  }

  /** One of its addresses. */
  addrOf(atom: Atom, family: Family): PodFacts["addrs"][number] | undefined {
    if (atom.kind === "block") return atom.family === family ? atom.sample : undefined;
    const addrs = atom.kind === "nodes" ? atom.nodes.flatMap((node) => node.addrs) : (atom.facts[this.#which]?.addrs ?? []);
    return addrs.find((addr) => addr.family === family);
  }

  #podsOf(namespaces: string | ParsedLabelSelector, pods: ParsedLabelSelector): AtomList {
    const key = `${typeof namespaces === "string" ? namespaces : `{${this.#text(namespaces)}}`} ${this.#text(pods)}`;
    const known = this.#pods.get(key);
    if (known !== undefined) return known;
    const candidates =
      typeof namespaces === "string"
        ? (this.#byNamespace.get(namespaces) ?? [])
        : [...this.#byNamespace].flatMap(([name, atoms]) => {
            const labels = this.world.namespaces.get(name);
            return labels !== undefined && matchLabels(namespaces, labels) ? atoms : [];
          });
    const found = Int32Array.from(
      candidates.filter((atom) => matchLabels(pods, this.facts(atom)?.labels ?? {})).map(({ index }) => index),
    ).sort();
    this.#pods.set(key, found);
    return found;
  }

  #text(selector: ParsedLabelSelector): string {
    const known = this.#texts.get(selector) ?? formatParsedSelector(selector);
    this.#texts.set(selector, known);
    return known;
  }

  #listOf(isIn: (atom: Atom) => boolean): AtomList {
    return Int32Array.from(this.#partition.atoms.filter(isIn).map(({ index }) => index));
  }
}

function union(lists: readonly AtomList[]): AtomList {
  const [first = new Int32Array(), ...rest] = lists;
  if (rest.length === 0) return first;
  return Int32Array.from(new Set(lists.flatMap((list) => [...list]))).sort();
}
