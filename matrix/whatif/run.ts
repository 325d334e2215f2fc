// One change after the other: foreseen, really made, measured, compared. What is there stays for the next one, which may undo it.
import type { Client } from "#client";
import { type Answer, type Atom, applyChanges, type Objects, pointOf, whatIf } from "#whatif";
import { readObjects } from "../../src/app/cli/live-objects.ts";
import { Changes, PODS_OF, type RandomChange } from "./changes.ts";
import { type MatrixCluster, TCP_PORTS, UDP_PORTS } from "./cluster.ts";
import type { Probe } from "./protocol.ts";

export interface RunOptions {
  readonly changes: number;
  readonly seed: number;
  readonly log?: (text: string) => void;
  /** Which is there already, and stays. */
  readonly matrix: MatrixCluster;
}

export interface RunResult {
  readonly changes: number;
  /** Changes after which at least one cell was another. */
  readonly effective: number;
  readonly cells: number;
  readonly changedCells: number;
  readonly wrong: readonly string[];
}

/** A probe, and in which terms the answer speaks of it. */
interface Cell {
  readonly probe: Probe;
  readonly from: string;
  /** The pod, or the Service. */
  readonly to: string;
  readonly service: string | undefined;
  readonly family: 4 | 6;
}

/** Silence is given more time before it counts as a difference: the machine may be busy. */
const TIMEOUTS_MS = [250, 500, 1000, 2000, 4000];

export async function runChanges({ changes, seed, matrix, log = () => {} }: RunOptions): Promise<RunResult> {
  const source = new Changes(seed);
  const cells = cellsOf(await readObjects(matrix.client));
  await matrix.passGate();
  let measured = await matrix.ask(probesOf(cells), TIMEOUTS_MS[1] ?? 0);
  const wrong: string[] = [];
  let [effective, changedCells] = [0, 0];
  for (let n = 1; n <= changes; n++) {
    const [change, expected] = await choose(
      source,
      async (each) => {
        const answer = await foresee(matrix.client, each);
        return cells.map((cell, i) => foreseen(answer, cell) ?? measured[i] ?? false);
      },
      (foreseenCells) => n % 4 === 0 || foreseenCells.some((is, i) => is !== measured[i]),
    );
    await change.apply(matrix.client);
    await matrix.passGate();
    const after = await settle(matrix, cells, expected);
    const differing = cells.filter((_, i) => after[i] !== expected[i]);
    const changed = cells.filter((_, i) => after[i] !== measured[i]).length;
    for (const cell of differing)
      wrong.push(`${n}: ${textOf(cell)}: foreseen ${expected[cells.indexOf(cell)] === true ? "allowed" : "denied"}, after ${change.text}`);
    changedCells += changed;
    if (changed > 0) effective++;
    log(
      `${String(n).padStart(4)}  ${String(changed).padStart(4)} cells change  ${differing.length === 0 ? "as foreseen" : `${differing.length} NOT AS FORESEEN`}  ${change.text.slice(0, 100)}`,
    );
    measured = after;
  }
  return { changes, effective, cells: cells.length, changedCells, wrong };
}

const DRAWS = 12;

/** Most random changes change nothing: others are drawn, and every fourth time whatever comes is taken. */
async function choose(
  source: Changes,
  expect: (change: RandomChange) => Promise<boolean[]>,
  isWanted: (expected: readonly boolean[]) => boolean,
): Promise<[RandomChange, boolean[]]> {
  for (let draws = 1; ; draws++) {
    const change = source.next();
    const expected = await expect(change);
    if (draws === DRAWS || isWanted(expected)) return [change, expected];
  }
}

async function foresee(client: Client, change: RandomChange): Promise<Answer> {
  const before = await readObjects(client);
  const placed = change.objects.map((object) => ({ object, where: "change" }));
  const { objects: after, notes } = applyChanges(before, { objects: placed, isDelete: change.isDelete, namespace: "default" });
  return whatIf({ before, after, notes });
}

/** What the answer says that becomes of a cell; undefined where it says that nothing does. */
function foreseen({ lines, services }: Answer, { probe, from, to, service, family }: Cell): boolean | undefined {
  const isPod = (atoms: readonly Atom[], key: string): boolean => atoms.some((atom) => atom.kind === "pods" && atom.pods.includes(key));
  const protocol = probe.protocol === "tcp" ? 6 : 17;
  if (service !== undefined) {
    const line = services.find(
      (each) =>
        each.way.service === `${to}:${service}` && each.way.kind === "ClusterIP" && each.way.family === family && isPod(each.from, from),
    );
    return line?.after === undefined ? undefined : line.after.reached > 0;
  }
  const point = pointOf(protocol, probe.port);
  const line = lines.find(
    (each) =>
      each.families.includes(family) &&
      isPod(each.from, from) &&
      isPod(each.to, to) &&
      each.ports.some(
        (range) =>
          range.protocol !== "other" &&
          pointOf({ TCP: 6, UDP: 17, SCTP: 132 }[range.protocol], range.first) <= point &&
          point <= pointOf({ TCP: 6, UDP: 17, SCTP: 132 }[range.protocol], range.last),
      ),
  );
  return line === undefined ? undefined : line.now === "allowed";
}

/** Asks all once, and again whom did not do as foreseen: other watches than the gate's, and a busy machine, may take their time. */
async function settle(matrix: MatrixCluster, cells: readonly Cell[], expected: readonly boolean[]): Promise<boolean[]> {
  const found: boolean[] = [];
  let open = cells.map((_, i) => i);
  for (const timeoutMs of TIMEOUTS_MS) {
    const answers = await matrix.ask(
      open.flatMap((i) => cells[i]?.probe ?? []),
      timeoutMs,
    );
    for (const [j, i] of open.entries()) found[i] = answers[j] ?? false;
    open = open.filter((i) => found[i] !== expected[i]);
    if (open.length === 0) break;
  }
  return found;
}

function probesOf(cells: readonly Cell[]): Probe[] {
  return cells.map(({ probe }) => probe);
}

function textOf({ probe, from, to }: Cell): string {
  return `${from} -> ${to} (${probe.to}) ${probe.protocol} ${probe.port}`;
}

/** Every pod to every other, and to every Service. */
function cellsOf({ pods, services }: Objects): Cell[] {
  const ours = [...pods].filter(([, { metadata }]) => PODS_OF.some((name) => name === metadata.name));
  const addrs = (key: string): string[] => (pods.get(key)?.status?.podIPs ?? []).flatMap(({ ip }) => ip ?? []);
  const own = (from: string, family: 4 | 6): string => addrs(from).find((addr) => addr.includes(":") === (family === 6)) ?? "";
  return ours.flatMap(([from]) => [
    ...ours.flatMap(([to]) => (to === from ? [] : addrs(to).flatMap((addr) => cellsAt({ from, to, addr, own })))),
    ...[...services]
      .filter(([, { metadata }]) => metadata.name === "one")
      .flatMap(([to, { spec }]) =>
        (spec?.clusterIPs ?? []).flatMap((addr) =>
          (spec?.ports ?? []).map((port): Cell => {
            const family = addr.includes(":") ? 6 : 4;
            return {
              probe: { from: own(from, family), to: addr, protocol: "tcp", port: port.port },
              from,
              to,
              service: port.name ?? "",
              family,
            };
          }),
        ),
      ),
  ]);
}

interface Ends {
  readonly from: string;
  readonly to: string;
  readonly addr: string;
  readonly own: (from: string, family: 4 | 6) => string;
}

function cellsAt({ from, to, addr, own }: Ends): Cell[] {
  const family = addr.includes(":") ? 6 : 4;
  const at = (protocol: Probe["protocol"], port: number): Cell => ({
    probe: { from: own(from, family), to: addr, protocol, port },
    from,
    to,
    service: undefined,
    family,
  });
  return [...TCP_PORTS.map((port) => at("tcp", port)), ...UDP_PORTS.map((port) => at("udp", port))];
}
