// What people call a group of pods, nodes and addresses. Pure.
import { type Addr, compareAddrs, type Family, formatAddr, formatPrefix } from "#ip";
import { type Interval, intervalPrefix } from "#nft";
import type { Atom, Partition } from "./atoms.ts";
import { labelText } from "./label-text.ts";

const NAMES_SHOWN = 3;

export class Names {
  readonly #partition: Partition;
  readonly #byNamespace: ReadonlyMap<string, readonly string[]>;
  /** Many lines are about the same pods. */
  readonly #labelTexts = new Map<string, { readonly text: string | undefined }>();

  constructor(partition: Partition) {
    this.#partition = partition;
    const keys = [...partition.atomOfPod.keys()];
    this.#byNamespace = Map.groupBy(keys, (key) => key.slice(0, key.indexOf("/")));
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
    const whole: [string, number][] = [];
    const rest: [string, readonly string[]][] = [];
    for (const [namespace, own] of Map.groupBy(keys, (key) => key.slice(0, key.indexOf("/")))) {
      if (own.length > 1 && own.length === this.#byNamespace.get(namespace)?.length) whole.push([namespace, own.length]);
      else rest.push([namespace, own]);
    }
    const heads =
      whole.length > NAMES_SHOWN
        ? [`all pods of ${whole.length} namespaces (${sum(whole.map(([, count]) => count))})`]
        : whole.map(([namespace, count]) => `all pods of ${namespace} (${count})`);
    const count = heads.length + rest.length;
    const shown = count <= 2 * NAMES_SHOWN ? count : NAMES_SHOWN;
    const some = rest.slice(0, Math.max(shown - heads.length, 0)).map(([namespace, own]) => this.#some(namespace, own));
    const text = [...heads, ...some].slice(0, shown).join(", ");
    return shown === count ? text : `${text} and pods of ${count - shown} more namespaces (${keys.length} pods)`;
  }

  /** By one label that these have and no others of the namespace; else by name. */
  #some(namespace: string, keys: readonly string[]): string {
    if (keys.length > 1) {
      const id = keys.join();
      const known = this.#labelTexts.get(id) ?? { text: this.#labelText(namespace, keys) };
      this.#labelTexts.set(id, known);
      if (known.text !== undefined) return `pods ${namespace} ${known.text} (${keys.length})`;
    }
    const names = keys.slice(0, NAMES_SHOWN).join(", ");
    return keys.length > NAMES_SHOWN
      ? `pods ${names} and ${keys.length - NAMES_SHOWN} more of ${namespace}`
      : `${keys.length > 1 ? "pods" : "pod"} ${names}`;
  }

  #labelText(namespace: string, keys: readonly string[]): string | undefined {
    const own = new Set(keys);
    const others = (this.#byNamespace.get(namespace) ?? []).filter((key) => !own.has(key));
    return labelText(
      keys.map((key) => this.#labels(key)),
      others.map((key) => this.#labels(key)),
    );
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
