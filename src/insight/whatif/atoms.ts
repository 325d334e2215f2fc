// Who is told apart by any policy of any of the worlds: pods, nodes and the addresses of everybody else, in as few groups as are exact. Pure.
import { type Addr, addrToBigInt, type Family } from "#ip";
import type { Labels, ParsedLabelSelector } from "#kube";
import type { PodFacts } from "#netpol";
import type { Interval } from "#nft";
import { type AddressClasses, classifyAddresses } from "./addresses.ts";
import { layerOf } from "./layers.ts";
import type { BlockTerm, LayeredPolicy, NodeFacts, World } from "./types.ts";

/** Pods that no policy tells apart, in none of the worlds. */
export interface PodAtom {
  readonly kind: "pods";
  readonly index: number;
  /** `namespace/name`. */
  readonly pods: readonly string[];
  /** One of them, in each world; undefined where they are not. */
  readonly facts: readonly (PodFacts | undefined)[];
}

interface NodeAtom {
  readonly kind: "nodes";
  readonly index: number;
  readonly nodes: readonly NodeFacts[];
}

/** Addresses of neither pods nor nodes. */
interface BlockAtom {
  readonly kind: "block";
  readonly index: number;
  readonly family: Family;
  readonly intervals: readonly Interval[];
  /** One of them. */
  readonly sample: Addr;
}

export type Atom = PodAtom | NodeAtom | BlockAtom;

export interface Partition {
  readonly worlds: readonly World[];
  readonly atoms: readonly Atom[];
  /** The pods' come first. */
  readonly podAtoms: readonly PodAtom[];
  readonly classes: Readonly<Record<Family, AddressClasses>>;
  /** By `namespace/name`. */
  readonly atomOfPod: ReadonlyMap<string, PodAtom>;
  /** Who has the address, in the first world where somebody has. */
  atomOf(addr: Addr): Atom | undefined;
}

const FAMILIES: readonly Family[] = [4, 6];

export function policiesOf(world: World): LayeredPolicy[] {
  return [...(world.clusterPolicies ?? []), ...world.policies.map(layerOf)];
}

export function partition(worlds: readonly World[]): Partition {
  const policies = [...new Set(worlds.flatMap(policiesOf))];
  const blocks = policies.flatMap(({ rules }) =>
    rules.flatMap(({ peers = [] }) => peers.filter((term): term is BlockTerm => term.kind === "blocks")),
  );
  const classes = { 4: classifyAddresses(4, blocks), 6: classifyAddresses(6, blocks) };
  const distinguishing = distinguishingOf(policies);
  const podAtoms = podAtomsOf(worlds, classes, distinguishing);
  const nodeAtoms = nodeAtomsOf(worlds, classes, { keys: distinguishing.nodeKeys, offset: podAtoms.length });
  const known = knownAddrs(worlds);
  const owned = withOwn(known, worlds);
  const blockAtoms: BlockAtom[] = [];
  for (const family of FAMILIES) {
    for (let cls = 0; cls < classes[family].count; cls++) {
      // An address of a block that is a node's own is a poor example: the node's own pods see it as the node.
      const rest = classes[family].outside(cls, owned[family]) ?? classes[family].outside(cls, known[family]);
      const index = podAtoms.length + nodeAtoms.length + blockAtoms.length;
      if (rest !== undefined) blockAtoms.push({ kind: "block", index, family, ...rest });
    }
  }
  const atomOfPod = new Map(podAtoms.flatMap((atom) => atom.pods.map((key) => [key, atom] as const)));
  const atoms = [...podAtoms, ...nodeAtoms, ...blockAtoms];
  return { worlds, atoms, podAtoms, classes, atomOfPod, atomOf: finder({ worlds, atomOfPod, nodeAtoms, blockAtoms, classes }) };
}

interface Distinguishing {
  readonly podKeys: readonly string[];
  readonly nodeKeys: readonly string[];
  readonly portNames: ReadonlySet<string>;
}

/** Labels and names of ports that any policy asks for. */
function distinguishingOf(policies: readonly LayeredPolicy[]): Distinguishing {
  const podKeys = new Set<string>();
  const nodeKeys = new Set<string>();
  const portNames = new Set<string>();
  const add = (keys: Set<string>, selector: ParsedLabelSelector): void => {
    for (const { key } of selector) keys.add(key);
  };
  for (const { subjects, rules } of policies) {
    for (const { pods } of subjects) add(podKeys, pods);
    for (const { peers = [], ports } of rules) {
      for (const { name } of ports?.names ?? []) portNames.add(name);
      for (const term of peers) {
        if (term.kind === "pods") add(podKeys, term.pods);
        if (term.kind === "nodes") add(nodeKeys, term.nodes);
      }
    }
  }
  return { podKeys: [...podKeys].sort(), nodeKeys: [...nodeKeys].sort(), portNames };
}

type Classes = Readonly<Record<Family, AddressClasses>>;

function podAtomsOf(worlds: readonly World[], classes: Classes, { podKeys, portNames }: Distinguishing): PodAtom[] {
  const textOf = (facts: PodFacts | undefined): string => {
    if (facts?.isPeer !== true) return "";
    const ports = facts.ports.filter(({ name }) => portNames.has(name)).map(({ name, protocol, port }) => `${name} ${protocol} ${port}`);
    return JSON.stringify([facts.namespace, labelsText(facts.labels, podKeys), ports.sort(), addrsText(facts.addrs, classes)]);
  };
  const groups = new Map<string, string[]>();
  for (const key of new Set(worlds.flatMap(({ pods }) => [...pods.keys()]))) {
    const texts = worlds.map(({ pods }) => textOf(pods.get(key)));
    if (texts.every((text) => text === "")) continue;
    const text = texts.join("\n");
    const group = groups.get(text);
    if (group === undefined) groups.set(text, [key]);
    else group.push(key);
  }
  return [...groups.values()].map((pods, index) => ({
    kind: "pods",
    index,
    pods,
    facts: worlds.map((world) => {
      const facts = world.pods.get(pods[0] ?? "");
      return facts?.isPeer === true ? facts : undefined;
    }),
  }));
}

/** In its classes; the empty text says that it has no address of the family. */
function addrsText(addrs: readonly Addr[], classes: Classes): string {
  return FAMILIES.map((family) => {
    const found = new Set(addrs.filter((addr) => addr.family === family).map((addr) => classes[family].classOf(addr)));
    return [...found].sort((a, b) => a - b).join("+");
  }).join(" ");
}

function labelsText(labels: Labels, keys: readonly string[]): (string | null)[] {
  return keys.map((key) => (Object.hasOwn(labels, key) ? (labels[key] ?? null) : null));
}

function nodeAtomsOf(
  worlds: readonly World[],
  classes: Classes,
  { keys, offset }: { readonly keys: readonly string[]; readonly offset: number },
): NodeAtom[] {
  const nodes = new Map(worlds.flatMap((world) => world.nodes.map((node) => [node.name, node] as const)));
  const groups = new Map<string, NodeFacts[]>();
  for (const node of nodes.values()) {
    const text = JSON.stringify([labelsText(node.labels, keys), addrsText(node.addrs, classes)]);
    const group = groups.get(text);
    if (group === undefined) groups.set(text, [node]);
    else group.push(node);
  }
  return [...groups.values()].map((group, i) => ({ kind: "nodes", index: offset + i, nodes: group }));
}

function knownAddrs(worlds: readonly World[]): Record<Family, ReadonlySet<bigint>> {
  const known: Record<Family, Set<bigint>> = { 4: new Set(), 6: new Set() };
  for (const { pods, nodes } of worlds) {
    for (const { addrs, isPeer } of pods.values()) if (isPeer) for (const addr of addrs) known[addr.family].add(addrToBigInt(addr));
    for (const { addrs } of nodes) for (const addr of addrs) known[addr.family].add(addrToBigInt(addr));
  }
  return known;
}

function withOwn(known: Record<Family, ReadonlySet<bigint>>, worlds: readonly World[]): Record<Family, ReadonlySet<bigint>> {
  const owned = { 4: new Set(known[4]), 6: new Set(known[6]) };
  for (const { nodes } of worlds) for (const { own } of nodes) for (const addr of own) owned[addr.family].add(addrToBigInt(addr));
  return owned;
}

interface Found {
  readonly worlds: readonly World[];
  readonly atomOfPod: ReadonlyMap<string, PodAtom>;
  readonly nodeAtoms: readonly NodeAtom[];
  readonly blockAtoms: readonly BlockAtom[];
  readonly classes: Classes;
}

function finder({ worlds, atomOfPod, nodeAtoms, blockAtoms, classes }: Found): Partition["atomOf"] {
  let byAddr: Map<string, Atom> | undefined;
  const text = (addr: Addr): string => `${addr.family} ${addr.bytes.join(".")}`;
  const build = (): Map<string, Atom> => {
    const found = new Map<string, Atom>();
    for (const { pods } of worlds.toReversed()) {
      for (const [key, { addrs, isPeer }] of pods) {
        const atom = atomOfPod.get(key);
        if (atom !== undefined && isPeer) for (const addr of addrs) found.set(text(addr), atom);
      }
    }
    for (const atom of nodeAtoms) for (const { addrs } of atom.nodes) for (const addr of addrs) found.set(text(addr), atom);
    return found;
  };
  const byClass = new Map(blockAtoms.map((atom) => [`${atom.family} ${classes[atom.family].classOf(atom.sample)}`, atom]));
  return (addr) => {
    byAddr ??= build();
    return byAddr.get(text(addr)) ?? byClass.get(`${addr.family} ${classes[addr.family].classOf(addr)}`);
  };
}
