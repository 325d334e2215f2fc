// The difference as people read it: one line for each group of pairs that gain or lose the same ports, and who decides. Pure.
import type { Addr, Family } from "#ip";
import type { Atom } from "./atoms.ts";
import type { Difference, Rectangle, Worlds } from "./diff.ts";
import type { PortSet, ProtocolPorts } from "./ports.ts";
import type { Reach } from "./reach.ts";
import type { Reason } from "./types.ts";

export interface Line {
  readonly from: readonly Atom[];
  readonly to: readonly Atom[];
  readonly families: readonly Family[];
  readonly ports: readonly ProtocolPorts[];
  /** The other way round it was before. */
  readonly now: "allowed" | "denied";
  /** Who decided before, and who decides after; a few where there are many. */
  readonly before: readonly Reason[];
  readonly after: readonly Reason[];
  /** A packet that changes. */
  readonly example: { readonly from: Addr; readonly to: Addr; readonly family: Family; readonly point: number };
}

const FAMILIES: readonly Family[] = [4, 6];
/** Pairs of a line that are asked who decides. */
const ASKED = 24;
/** And intervals of its ports. */
const POINTS = 4;

export function linesOf(difference: Difference): Line[] {
  const { worlds } = difference;
  return overBothFamilies(difference.rectangles().flatMap((rectangle) => linesOfRectangle(rectangle, worlds)));
}

/** The outside of one family and that of the other, where all else is the same. */
function overBothFamilies(lines: readonly Line[]): Line[] {
  const isOutside = (atoms: readonly Atom[]): boolean => atoms.every(({ kind }) => kind === "block");
  const key = ({ from, to, ports, now, before, after }: Line): string => {
    const who = (atoms: readonly Atom[]): string => (isOutside(atoms) ? "outside" : atoms.map(({ index }) => index).join());
    return JSON.stringify([who(from), who(to), ports, now, before, after]);
  };
  return [...Map.groupBy(lines, key).values()].flatMap((group) => {
    const [a, b, ...more] = group;
    if (a === undefined || b === undefined || more.length > 0) return group;
    if (a.families.length !== 1 || b.families.length !== 1 || a.families[0] === b.families[0]) return group;
    const [from, to] = isOutside(a.from) ? [[...a.from, ...b.from], a.to] : [a.from, [...a.to, ...b.to]];
    return isOutside(a.from) || isOutside(a.to) ? [{ ...a, from, to, families: [4, 6] }] : group;
  });
}

function linesOfRectangle({ from, to, change }: Rectangle, worlds: Worlds): Line[] {
  const { sets } = worlds;
  return (["denied", "allowed"] as const).flatMap((now) => {
    const changed = (family: Family): PortSet => {
      const [before, after] = [change.before[family], change.after[family]];
      return now === "denied" ? sets.subtract(before, after) : sets.subtract(after, before);
    };
    const groups = Map.groupBy(
      FAMILIES.filter((family) => changed(family) !== sets.none),
      changed,
    );
    return [...groups].flatMap(([ports, families]) => lineOf({ from, to, now, ports, families }, worlds) ?? []);
  });
}

interface Part {
  readonly from: readonly Atom[];
  readonly to: readonly Atom[];
  readonly now: Line["now"];
  readonly ports: PortSet;
  readonly families: readonly Family[];
}

function lineOf({ from, to, now, ports, families }: Part, worlds: Worlds): Line | undefined {
  const { sets, before, after } = worlds;
  const [family = 4] = families;
  const point = sets.example(ports) ?? 0;
  const pairs = pairsOf(from, to, ASKED);
  const [first] = pairs;
  if (first === undefined) return undefined;
  const [wasDenied, isDenied] = [now === "allowed", now === "denied"];
  const there = now === "denied" ? before : after;
  const [a, b] = [there.matcher.addrOf(first[0], family), there.matcher.addrOf(first[1], family)];
  if (a === undefined || b === undefined) return undefined;
  const points = [point, ...sets.points(ports).slice(0, POINTS)];
  const ask = (reach: Reach, isDeny: boolean): Reason[] =>
    distinct(pairs.flatMap(([source, target]) => points.flatMap((at) => reasonsFor(reach, { source, target, family, point: at, isDeny }))));
  return {
    from,
    to,
    families,
    ports: sets.intervals(ports),
    now,
    before: ask(before, wasDenied),
    after: ask(after, isDenied),
    example: { ...(exampleEnds(pairs, there, family) ?? { from: a, to: b }), family, point },
  };
}

interface End {
  readonly addr: Addr;
  readonly pod?: string;
  /** Where the pod runs, or which node it is. */
  readonly node?: string;
}

/** Those of the atom that are there, with an address of the family. */
function endsOf(atom: Atom, { matcher }: Reach, family: Family): End[] {
  if (atom.kind === "block") return atom.family === family ? [{ addr: atom.sample }] : [];
  const of = (addrs: readonly Addr[], end: Omit<End, "addr">): End[] => {
    const addr = addrs.find((own) => own.family === family);
    return addr === undefined ? [] : [{ addr, ...end }];
  };
  if (atom.kind === "nodes") return atom.nodes.flatMap(({ name, addrs }) => of(addrs, { node: name }));
  return atom.pods.flatMap((pod) => {
    const facts = matcher.world.pods.get(pod);
    return facts === undefined ? [] : of(facts.addrs, { pod, node: facts.nodeName });
  });
}

/** Two of them that policies keep apart: a pod and itself, and a pod and its own node, are not judged. */
function exampleEnds(pairs: readonly (readonly [Atom, Atom])[], reach: Reach, family: Family): { from: Addr; to: Addr } | undefined {
  for (const [source, target] of pairs) {
    const targets = endsOf(target, reach, family);
    for (const from of endsOf(source, reach, family)) {
      const isOwn = (to: End): boolean =>
        from.pod === undefined || to.pod === undefined ? from.node !== undefined && from.node === to.node : from.pod === to.pod;
      const to = targets.find((one) => !isOwn(one));
      if (to !== undefined) return { from: from.addr, to: to.addr };
    }
  }
  return undefined;
}

function pairsOf(from: readonly Atom[], to: readonly Atom[], limit: number): [Atom, Atom][] {
  const out: [Atom, Atom][] = [];
  for (const source of from) {
    for (const target of to) {
      if (out.length >= limit) return out;
      out.push([source, target]);
    }
  }
  return out;
}

interface Asked {
  readonly source: Atom;
  readonly target: Atom;
  readonly family: Family;
  readonly point: number;
  /** Whether it is denied: then only who denies is told. */
  readonly isDeny: boolean;
}

export function reasonsFor(reach: Reach, { source, target, family, point, isDeny }: Asked): Reason[] {
  const egress = source.kind === "pods" ? [reach.reason({ subject: source, direction: "egress", other: target, family, point })] : [];
  const ingress = target.kind === "pods" ? [reach.reason({ subject: target, direction: "ingress", other: source, family, point })] : [];
  const all = [...egress, ...ingress];
  if (isDeny) return all.filter((reason) => reason.by === "absent" || isDenial(reason));
  const rules = all.filter(({ by }) => by === "rule");
  return rules.length > 0 ? rules : all.slice(-1);
}

function isDenial(reason: Reason): boolean {
  return reason.by === "default deny" || (reason.by === "rule" && reason.action === "Deny");
}

function distinct(reasons: readonly Reason[]): Reason[] {
  return [...new Map(reasons.map((reason) => [JSON.stringify(reason), reason])).values()];
}

function formatReason(reason: Reason): string {
  if (reason.by === "absent") return "not there";
  if (reason.by === "nothing isolates") return `no policy about ${reason.direction}`;
  if (reason.by === "rule") return `${reason.policy.kind} ${reason.policy.key} ${reason.path}${reason.action === "Deny" ? " (Deny)" : ""}`;
  const [first, ...others] = reason.policies;
  const more = others.length === 0 ? "" : ` and ${others.length} more`;
  return `${first?.kind} ${first?.key}${more} (default deny ${reason.direction})`;
}

const SHOWN = 2;

export function formatReasons(reasons: readonly Reason[]): string {
  const texts = reasons.slice(0, SHOWN).map(formatReason).join("; ");
  return reasons.length > SHOWN ? `${texts} and ${reasons.length - SHOWN} more` : texts;
}
