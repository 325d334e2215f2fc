// What people call a group of pods, nodes and addresses. Pure.
import { type Addr, compareAddrs, type Family, formatAddr, formatPrefix } from "#ip";
import { type Interval, intervalPrefix } from "#nft";
import type { Atom, Partition } from "./atoms.ts";

/** Labels that say which run of a workload a pod is of, and nothing to a person. */
const NOISE: ReadonlySet<string> = new Set([
  "pod-template-hash",
  "controller-revision-hash",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "pod-template-generation",
]);

const NAMES_SHOWN = 3;

export class Names {
  readonly #partition: Partition;
  readonly #byNamespace: ReadonlyMap<string, ReadonlySet<string>>;

  constructor(partition: Partition) {
    this.#partition = partition;
    const keys = [...partition.atomOfPod.keys()];
    const groups = Map.groupBy(keys, (key) => key.slice(0, key.indexOf("/")));
    this.#byNamespace = new Map([...groups].map(([namespace, own]) => [namespace, new Set(own)]));
  }

  /** `pods shop app=web (3), everything outside over IPv4`. */
  of(atoms: readonly Atom[]): string {
    const pods = atoms.flatMap((atom) => (atom.kind === "pods" ? atom.pods : []));
    const nodes = atoms.flatMap((atom) => (atom.kind === "nodes" ? atom.nodes.map(({ name }) => name) : []));
    const parts = [...(pods.length === 0 ? [] : [this.#pods(pods)]), ...(nodes.length === 0 ? [] : [this.#nodes(nodes)])];
    const blocks = atoms.filter(({ kind }) => kind === "block");
    if (blocks.length > 0 && blocks.length === this.#partition.atoms.filter(({ kind }) => kind === "block").length) {
      return [...parts, "everything outside"].join(", ");
    }
    for (const family of [4, 6] as const) {
      const own = blocks.filter((atom) => atom.kind === "block" && atom.family === family);
      if (own.length > 0) parts.push(this.#blocks(own, family));
    }
    return parts.join(", ");
  }

  #pods(keys: readonly string[]): string {
    if (keys.length === this.#partition.atomOfPod.size) return `all pods (${keys.length})`;
    const groups = Map.groupBy(keys, (key) => key.slice(0, key.indexOf("/")));
    const whole = [...groups].filter(([namespace, own]) => own.length === this.#byNamespace.get(namespace)?.size && own.length > 1);
    const rest = [...groups].filter(([namespace]) => !whole.some(([name]) => name === namespace));
    const texts = rest.map(([namespace, own]) => this.#some(namespace, own));
    if (whole.length > NAMES_SHOWN) texts.unshift(`all pods of ${whole.length} namespaces (${sum(whole.map(([, own]) => own.length))})`);
    else texts.unshift(...whole.map(([namespace, own]) => `all pods of ${namespace} (${own.length})`));
    if (texts.length <= 2 * NAMES_SHOWN) return texts.join(", ");
    return `${texts.slice(0, NAMES_SHOWN).join(", ")} and pods of ${texts.length - NAMES_SHOWN} more namespaces (${keys.length} pods)`;
  }

  /** By one label that these have and no others of the namespace; else by name. */
  #some(namespace: string, keys: readonly string[]): string {
    const own = new Set(keys);
    const [first = ""] = keys;
    if (own.size > 1) {
      const label = Object.entries(this.#labels(first)).find(([name, value]) => {
        if (NOISE.has(name)) return false;
        const all = [...(this.#byNamespace.get(namespace) ?? [])].filter((key) => this.#labels(key)[name] === value);
        return all.length === own.size && all.every((key) => own.has(key));
      });
      if (label !== undefined) return `pods ${namespace} ${label.join("=")} (${own.size})`;
    }
    const names = keys.slice(0, NAMES_SHOWN).join(", ");
    return own.size > NAMES_SHOWN
      ? `pods ${names} and ${own.size - NAMES_SHOWN} more of ${namespace}`
      : `${own.size > 1 ? "pods" : "pod"} ${names}`;
  }

  #labels(key: string): Readonly<Record<string, string>> {
    const { worlds } = this.#partition;
    return (worlds.at(-1)?.pods.get(key) ?? worlds[0]?.pods.get(key))?.labels ?? {};
  }

  #nodes(names: readonly string[]): string {
    const count = this.#partition.atoms.flatMap((atom) => (atom.kind === "nodes" ? atom.nodes : [])).length;
    if (names.length === count && count > 1) return "nodes other than the pod's own";
    const shown = names.slice(0, NAMES_SHOWN).join(", ");
    return names.length > NAMES_SHOWN ? `nodes ${shown} and ${names.length - NAMES_SHOWN} more` : `node ${shown}`;
  }

  #blocks(atoms: readonly Atom[], family: Family): string {
    const count = this.#partition.atoms.filter((atom) => atom.kind === "block" && atom.family === family).length;
    if (atoms.length === count) return `everything outside (IPv${family})`;
    const intervals = joined(atoms.flatMap((atom) => (atom.kind === "block" ? atom.intervals : [])));
    const shown = intervals.slice(0, NAMES_SHOWN).map(formatInterval).join(", ");
    return intervals.length > NAMES_SHOWN ? `outside ${shown} and ${intervals.length - NAMES_SHOWN} more ranges` : `outside ${shown}`;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

function formatInterval({ first, last }: Interval): string {
  if (!isAddr(first) || !isAddr(last)) return "";
  const prefix = intervalPrefix({ first, last });
  return prefix === undefined ? `${formatAddr(first)}-${formatAddr(last)}` : formatPrefix(prefix);
}

function joined(intervals: readonly Interval[]): Interval[] {
  return intervals.toSorted((a, b) => (isAddr(a.first) && isAddr(b.first) ? compareAddrs(a.first, b.first) : 0));
}

function isAddr(value: Interval["first"]): value is Addr {
  return typeof value === "object" && "family" in value;
}
