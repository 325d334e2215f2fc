// Expectations against a world: the first packet that breaks each. Pure.
import { type Addr, addrPlus, type Family, formatAddr } from "#ip";
import type { Atom, Partition } from "./atoms.ts";
import { isJudged } from "./diff.ts";
import { type Expectation, type Group, outsideIsIn, podIsIn } from "./expectations.ts";
import { formatReasons, reasonsFor } from "./lines.ts";
import { formatPoint, type PortSets } from "./ports.ts";
import type { Reach } from "./reach.ts";

export interface Broken {
  readonly expectation: Expectation;
  /** `shop/web-1 (10.244.1.5) -> shop/db-1 (10.244.2.7) TCP 5432 is allowed: …`. */
  readonly text: string;
}

export interface VerifyInput {
  readonly reach: Reach;
  readonly partition: Partition;
  readonly sets: PortSets;
}

interface Member {
  readonly atom: Atom;
  readonly name: string;
  readonly addrs: readonly Addr[];
}

const FAMILIES: readonly Family[] = [4, 6];

export function verify(expectations: readonly Expectation[], input: VerifyInput): Broken[] {
  return expectations.flatMap((expectation) => {
    const text = counterexample(expectation, input);
    return text === undefined ? [] : [{ expectation, text }];
  });
}

function counterexample(expectation: Expectation, input: VerifyInput): string | undefined {
  const { from, to, via, mayBeNobody } = expectation;
  const nobody = [from, to, via].find((group) => group !== undefined && membersOf(group, input).length === 0);
  if (nobody !== undefined && !mayBeNobody) return `nobody is ${nobody.text}`;
  const targets = membersOf(to, input);
  const excused = new Set(via === undefined ? [] : membersOf(via, input).map(({ name }) => name));
  const sources = membersOf(from, input).filter(({ name }) => !excused.has(name));
  const byAtom = (members: readonly Member[]): [Atom, Member[]][] => [...Map.groupBy(members, ({ atom }) => atom)];
  const targetAtoms = byAtom(targets);
  for (const [sourceAtom, own] of byAtom(sources)) {
    for (const [targetAtom, others] of targetAtoms) {
      if (!isJudged(sourceAtom, targetAtom)) continue;
      const pair = pairOf(own, others, input);
      if (pair === undefined) continue;
      const found = FAMILIES.map((family) => broken({ ...pair, family, expectation }, input)).find((text) => text !== undefined);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** Two that are judged: not a pod and itself, not a pod and its own node. Members of an atom are judged alike. */
function pairOf(
  sources: readonly Member[],
  targets: readonly Member[],
  { reach }: VerifyInput,
): Pick<Case, "source" | "target"> | undefined {
  const nodeOf = ({ name }: Member): string => `node ${reach.matcher.world.pods.get(name)?.nodeName ?? ""}`;
  for (const source of sources) {
    for (const target of targets) {
      if (source.name !== target.name && nodeOf(source) !== target.name && nodeOf(target) !== source.name) return { source, target };
    }
  }
  return undefined;
}

interface Case {
  readonly source: Member;
  readonly target: Member;
  readonly family: Family;
  readonly expectation: Expectation;
}

function broken({ source, target, family, expectation }: Case, { reach, sets }: VerifyInput): string | undefined {
  const [src, dst] = [source, target].map(({ addrs }) => addrs.find((addr) => addr.family === family));
  if (src === undefined || dst === undefined) return undefined;
  const wanted = expectation.port === undefined ? sets.all : sets.of([expectation.port]);
  const allowed = sets.intersect(reach.between(source.atom, target.atom, family), wanted);
  const isDeny = expectation.kind === "always";
  const point = sets.example(isDeny ? sets.subtract(wanted, allowed) : allowed);
  if (point === undefined) return undefined;
  const reasons = reasonsFor(reach, { source: source.atom, target: target.atom, family, point, isDeny });
  const packet = `${source.name} (${formatAddr(src)}) -> ${target.name} (${formatAddr(dst)}) ${formatPoint(point)}`;
  return `${packet} is ${isDeny ? "denied" : "allowed"}: ${formatReasons(reasons)}`;
}

function membersOf(group: Group, { reach, partition }: VerifyInput): Member[] {
  const { world } = reach.matcher;
  return partition.atoms.flatMap((atom): Member[] => {
    if (atom.kind === "pods") {
      return atom.pods.flatMap((key): Member[] => {
        const facts = world.pods.get(key);
        if (facts?.isPeer !== true || !podIsIn(group, facts, world.namespaces)) return [];
        return [{ atom, name: key, addrs: facts.addrs }];
      });
    }
    if (atom.kind === "nodes") return group.nodes ? atom.nodes.map(({ name, addrs }) => ({ atom, name: `node ${name}`, addrs })) : [];
    const first = outsideIsIn(group, atom.intervals, atom.sample);
    const addr = first && nobodysFrom(first, atom, partition);
    return addr === undefined ? [] : [{ atom, name: "outside", addrs: [addr] }];
  });
}

const TRIED = 4096;

/** Pods and nodes have addresses too; what comes next is of the same block, as long as it is the same atom. */
function nobodysFrom(first: Addr, atom: Atom, partition: Partition): Addr | undefined {
  for (let n = 0; n < TRIED; n++) {
    const addr = addrPlus(first, n);
    if (partition.atomOf(addr) === atom) return addr;
  }
  return undefined;
}
