// What a change would make of the network: everything that is to be said about it. Pure.
import { type Finding, findingsOf } from "./analysis.ts";
import type { Atom, PodAtom } from "./atoms.ts";
import { partition } from "./atoms.ts";
import { type ConnectionChange, connectionsOf, type LiveConnection, podFinder, type SeenAddrs } from "./connections.ts";
import { Difference, type Worlds } from "./diff.ts";
import { type Line, linesOf } from "./lines.ts";
import { Names } from "./names.ts";
import { type Objects, worldOf } from "./objects.ts";
import { PortSets } from "./ports.ts";
import { Reach } from "./reach.ts";
import { clientsOf, type Reached, throughWay, type Way, wayKey, waysOf } from "./services.ts";

/** Clients of one way into a Service, with as many of its endpoints in reach before, and as many after. */
export interface ServiceLine {
  readonly way: Way;
  readonly from: readonly Atom[];
  readonly before: Reached | undefined;
  readonly after: Reached | undefined;
}

export interface Answer {
  readonly worlds: Worlds;
  readonly names: Names;
  readonly lines: readonly Line[];
  readonly services: readonly ServiceLine[];
  /** Pods that could ask the cluster's DNS and cannot any more, and those that can from now on. */
  readonly dns: { readonly lost: readonly string[]; readonly gained: readonly string[] };
  readonly connections: readonly ConnectionChange[];
  /** Containers with probes: the kubelet's own packets always pass. */
  readonly probes: number;
  /** Of what is there after the change. */
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
}

export interface WhatIfInput {
  readonly before: Objects;
  readonly after: Objects;
  readonly connections?: readonly LiveConnection[];
  /** What nodes have besides what their objects say. */
  readonly nodeAddrs?: SeenAddrs;
  readonly notes?: readonly string[];
}

export function whatIf({ before, after, connections = [], nodeAddrs, notes = [] }: WhatIfInput): Answer {
  const parts = partition([worldOf(before), worldOf(after)]);
  const sets = new PortSets();
  const worlds: Worlds = { partition: parts, sets, before: new Reach(parts, 0, sets), after: new Reach(parts, 1, sets) };
  const difference = new Difference(worlds);
  const services = serviceLines(difference, before, after);
  return {
    worlds,
    names: new Names(parts),
    lines: linesOf(difference).toSorted((a, b) => (a.now === b.now ? 0 : a.now === "denied" ? -1 : 1)),
    services,
    dns: dnsOf(services),
    connections: connectionsOf(connections, worlds, nodeAddrs),
    probes: [...after.pods.values()].flatMap(({ spec }) => (spec?.containers ?? []).filter(hasProbe)).length,
    findings: findingsOf(worlds.after, parts, sets),
    notes,
  };
}

function hasProbe(container: { livenessProbe?: unknown; readinessProbe?: unknown; startupProbe?: unknown }): boolean {
  return container.livenessProbe !== undefined || container.readinessProbe !== undefined || container.startupProbe !== undefined;
}

interface Pair {
  readonly before: Way | undefined;
  readonly after: Way | undefined;
}

function serviceLines(difference: Difference, before: Objects, after: Objects): ServiceLine[] {
  const { worlds } = difference;
  const { partition: parts, sets } = worlds;
  const pairs = new Map<string, Pair>();
  for (const way of waysOf(before)) pairs.set(wayKey(way), { before: way, after: undefined });
  for (const way of waysOf(after)) pairs.set(wayKey(way), { before: pairs.get(wayKey(way))?.before, after: way });
  const touched = touchedBy(difference);
  const podAt = podFinder(worlds);
  return [...pairs.values()].flatMap((pair) => {
    const way = pair.after ?? pair.before;
    if (way === undefined) return [];
    const backends = [...(pair.before?.backends ?? []), ...(pair.after?.backends ?? [])];
    const own = new Set(backends.flatMap(({ addr }) => podAt(addr) ?? []));
    const sources = sourcesOf(pair, worlds, touched).flatMap((atom) => clientsOf(way, atom, own, parts));
    const groups = new Map<string, { from: Atom[]; before: Reached | undefined; after: Reached | undefined }>();
    for (const from of sources) {
      const was = pair.before && throughWay(pair.before, from, { partition: parts, reach: worlds.before, sets });
      const is = pair.after && throughWay(pair.after, from, { partition: parts, reach: worlds.after, sets });
      if (was?.reached === is?.reached && was?.endpoints === is?.endpoints) continue;
      const key = `${was?.reached} ${was?.endpoints} ${is?.reached} ${is?.endpoints}`;
      const known = groups.get(key);
      if (known === undefined) groups.set(key, { from: [from], before: was, after: is });
      else known.from.push(from);
    }
    return [...groups.values()].map((group) => ({ way, ...group }));
  });
}

/** By destination, who reaches it otherwise than before. */
function touchedBy(difference: Difference): ReadonlyMap<Atom, ReadonlySet<Atom>> {
  const touched = new Map<Atom, Set<Atom>>();
  difference.forEach((from, to) => {
    const known = touched.get(to);
    if (known === undefined) touched.set(to, new Set([from]));
    else known.add(from);
  });
  return touched;
}

/** Everybody where the Service itself changes; else those for whom one of its endpoints does. */
function sourcesOf({ before, after }: Pair, { partition: parts }: Worlds, touched: ReadonlyMap<Atom, ReadonlySet<Atom>>): Atom[] {
  const text = (way: Way | undefined): string => JSON.stringify(way?.backends.map(({ addr, port }) => [addr.bytes.join("."), port]));
  if (text(before) !== text(after)) return [...parts.atoms];
  const found = new Set<Atom>();
  for (const { addr } of after?.backends ?? []) {
    const atom = parts.atomOf(addr);
    if (atom !== undefined) for (const from of touched.get(atom) ?? []) found.add(from);
  }
  return [...found];
}

const DNS_SERVICE = "kube-system/kube-dns:";
const DNS_PORT = 53;
const UDP = 17;

function dnsOf(lines: readonly ServiceLine[]): Answer["dns"] {
  const about = lines.filter(
    ({ way }) => way.service.startsWith(DNS_SERVICE) && way.protocol === UDP && way.port === DNS_PORT && way.kind === "ClusterIP",
  );
  const pods = (isWanted: (line: ServiceLine) => boolean): string[] => {
    const found = about.filter(isWanted).flatMap(({ from }) => from.filter((atom): atom is PodAtom => atom.kind === "pods"));
    return [...new Set(found.flatMap((atom) => atom.pods))].sort();
  };
  const count = (reached: Reached | undefined): number => reached?.reached ?? 0;
  return {
    lost: pods(({ before, after }) => count(before) > 0 && count(after) === 0),
    gained: pods(({ before, after }) => count(before) === 0 && count(after) > 0),
  };
}
