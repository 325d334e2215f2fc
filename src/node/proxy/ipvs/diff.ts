// Our knowledge of the kernel in this mode, and the steps from it to what should be there, for the frontends that changed.
import type { Addr } from "#ip";
import { type Change, type Element, formatData, formatKey, type SetHeader } from "#nft";
import type { Frontend } from "../types.ts";
import { type Entry, elementsOf, needsMark, type Server, type ServerSettings, serverId, serversOf, sharedBy } from "./compile.ts";
import { SETS } from "./layout.ts";
import { isOurMark, MARK_BASE, TABLE } from "./names.ts";
import { changeServer, drainServer, lingeringIn, retireServer, type ServerSteps } from "./servers.ts";

/** In the order in which they are to be done. */
export interface Steps extends ServerSteps {
  /** What must be in the table before IPVS has the connections. */
  readonly before: Change[];
  readonly bind: Addr[];
  readonly unbind: Addr[];
  /** What must stay there until IPVS has them no more; and marks, which are of use only when IPVS knows them. */
  readonly after: Change[];
}

/** What must be known of the machine. */
export interface Place extends ServerSettings {
  /** Whether the node has the address itself: then it is local anyway, and its other ports are not ours to refuse. */
  isOwn(addr: Addr): boolean;
}

interface Counted {
  readonly set: SetHeader;
  readonly element: Element;
  count: number;
}

interface Delta {
  readonly set: SetHeader;
  readonly old: Element | undefined;
  readonly next: Element | undefined;
}

export class Programmed {
  readonly #place: Place;
  readonly #entries = new Map<string, Entry>();
  /** Elements that several entries need, and how many do. */
  readonly #shared = new Map<string, Counted>();
  readonly #marks = new Set<number>();
  readonly #lingering = new Set<string>();
  #lastMark = MARK_BASE;

  constructor(place: Place) {
    this.#place = place;
  }

  entries(): MapIterator<Entry> {
    return this.#entries.values();
  }

  /** Whether some destinations wait for their connections to end. */
  get isLingering(): boolean {
    return this.#lingering.size > 0;
  }

  /** Takes over what the kernel holds of one frontend, and makes it hold `next` instead: `entry.frontend` is not looked at. */
  adopt(entry: Entry, next: Frontend | undefined, steps: ServerSteps): void {
    if (entry.mark !== undefined) this.#marks.add(entry.mark);
    const made = this.#next(entry.key, entry, next, steps);
    if (made !== undefined) this.#remember(made, new Map());
  }

  /**
   * The steps that make each key hold its `next`. From then on they count as done: where the kernel refuses them, this object is of no
   * more use, and another is made from what the kernel holds.
   */
  update(updates: readonly { readonly key: string; readonly next: Frontend | undefined }[]): Steps {
    const steps = newSteps();
    const delta = new Map<string, Delta>();
    for (const { key, next } of updates) this.#put(this.#entries.get(key), this.#next(key, this.#entries.get(key), next, steps), delta);
    return finish(steps, delta);
  }

  /** The steps that take away what has drained meanwhile. */
  drain(hasConnections: (server: Server, id: string) => boolean): Steps {
    const steps = newSteps();
    const delta = new Map<string, Delta>();
    // What still lingers is put there anew.
    const keys = [...this.#lingering];
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry !== undefined) this.#put(entry, drained(entry, hasConnections, steps), delta);
    }
    return finish(steps, delta);
  }

  #next(key: string, old: Entry | undefined, frontend: Frontend | undefined, steps: ServerSteps): Entry | undefined {
    const servers = new Map<string, Server>();
    const protocol = frontend?.protocol ?? old?.protocol ?? 0;
    const mark = frontend !== undefined && needsMark(frontend) ? (old?.mark ?? this.#newMark()) : old?.mark;
    for (const wanted of frontend === undefined ? [] : serversOf(frontend, mark, this.#place)) {
      const id = serverId(wanted.service);
      servers.set(id, changeServer(old?.servers.get(id), wanted, protocol, steps));
    }
    for (const [id, server] of old?.servers ?? []) {
      if (servers.has(id)) continue;
      const rest = retireServer(server, protocol, steps);
      if (rest !== undefined) servers.set(id, rest);
    }
    if (frontend === undefined) return old === undefined || servers.size === 0 ? undefined : { ...old, frontend, servers };
    const { addr, port, kind, service } = frontend;
    const isVip = kind !== "NodePort" && !this.#place.isOwn(addr);
    return { key, addr, protocol, port, frontend, comment: service, isVip, mark, servers };
  }

  #newMark(): number {
    do this.#lastMark = isOurMark(this.#lastMark + 1) ? this.#lastMark + 1 : MARK_BASE + 1;
    while (this.#marks.has(this.#lastMark));
    this.#marks.add(this.#lastMark);
    return this.#lastMark;
  }

  #put(old: Entry | undefined, next: Entry | undefined, delta: Map<string, Delta>): void {
    if (old === next) return;
    if (old !== undefined) this.#forget(old, delta);
    if (next !== undefined) this.#remember(next, delta);
    else if (old?.mark !== undefined) this.#marks.delete(old.mark);
  }

  #remember(entry: Entry, delta: Map<string, Delta>): void {
    this.#entries.set(entry.key, entry);
    if ([...entry.servers.values()].some((server) => lingeringIn(server).length > 0)) this.#lingering.add(entry.key);
    elementsOf(entry, (set, element) => come(delta, set, element));
    sharedBy(entry, (set, element) => {
      const id = idOf(set, element);
      const counted = this.#shared.get(id);
      if (counted !== undefined) counted.count++;
      else {
        this.#shared.set(id, { set, element, count: 1 });
        come(delta, set, element);
      }
    });
  }

  #forget(entry: Entry, delta: Map<string, Delta>): void {
    this.#entries.delete(entry.key);
    this.#lingering.delete(entry.key);
    elementsOf(entry, (set, element) => go(delta, set, element));
    sharedBy(entry, (set, element) => {
      const id = idOf(set, element);
      const counted = this.#shared.get(id);
      if (counted === undefined || --counted.count > 0) return;
      this.#shared.delete(id);
      go(delta, set, element);
    });
  }
}

function drained(entry: Entry, hasConnections: (server: Server, id: string) => boolean, steps: ServerSteps): Entry | undefined {
  const { frontend, mark } = entry;
  const isMarked = frontend !== undefined && needsMark(frontend);
  const servers = new Map<string, Server>();
  for (const [id, before] of entry.servers) {
    const server = drainServer(before, (destination) => hasConnections(before, destination), steps);
    const isWanted = frontend !== undefined && (!("fwmark" in server.service) || (isMarked && server.service.fwmark === mark));
    if (isWanted || server.destinations.size > 0) servers.set(id, server);
    else steps.remove.push({ op: "delete service", service: server.service });
  }
  if ([...servers].every(([id, server]) => entry.servers.get(id) === server) && servers.size === entry.servers.size) return entry;
  return servers.size === 0 && frontend === undefined ? undefined : { ...entry, servers };
}

function idOf(set: SetHeader, element: Element): string {
  return `${set.name} ${formatKey(set, element)}`;
}

function come(delta: Map<string, Delta>, set: SetHeader, next: Element): void {
  const id = idOf(set, next);
  delta.set(id, { set, old: delta.get(id)?.old, next });
}

function go(delta: Map<string, Delta>, set: SetHeader, old: Element): void {
  const id = idOf(set, old);
  const known = delta.get(id);
  // What came in this very step has never been in the kernel.
  delta.set(id, { set, old: known === undefined ? old : known.old, next: undefined });
}

function isSame(set: SetHeader, a: Element, b: Element): boolean {
  if (a.comment !== b.comment) return false;
  return a.data === undefined || b.data === undefined || formatData(set, a.data) === formatData(set, b.data);
}

function newSteps(): Steps {
  return { before: [], set: [], bind: [], unbind: [], remove: [], after: [] };
}

const MARKS: ReadonlySet<string> = new Set([SETS[4].marks.name, SETS[6].marks.name]);
const VIPS: ReadonlySet<string> = new Set([SETS[4].vips.name, SETS[6].vips.name]);

/** What changes is changed before, what is new comes before, and what is old goes after; marks the other way around. */
function finish(steps: Steps, delta: ReadonlyMap<string, Delta>): Steps {
  const before = new Batches();
  const after = new Batches();
  for (const { set, old, next } of delta.values()) {
    if (old !== undefined && next !== undefined && isSame(set, old, next)) continue;
    const isMark = MARKS.has(set.name);
    if (old !== undefined && next !== undefined) {
      before.remove(set, old);
      before.add(set, next);
    } else if (next !== undefined) (isMark ? after : before).add(set, next);
    else if (old !== undefined) (isMark ? before : after).remove(set, old);
    if (!VIPS.has(set.name)) continue;
    if (old === undefined && next !== undefined) steps.bind.push(...addrsIn(next));
    else if (next === undefined && old !== undefined) steps.unbind.push(...addrsIn(old));
  }
  steps.before.push(...before.changes());
  steps.after.push(...after.changes());
  return steps;
}

function addrsIn({ key: [addr] }: Element): Addr[] {
  return typeof addr === "object" && "family" in addr ? [addr] : [];
}

/** Elements to go and to come, per set. */
class Batches {
  readonly #sets = new Map<SetHeader, { readonly remove: Element[]; readonly add: Element[] }>();

  add(set: SetHeader, element: Element): void {
    this.#of(set).add.push(element);
  }

  remove(set: SetHeader, element: Element): void {
    this.#of(set).remove.push(element);
  }

  changes(): Change[] {
    const changes: Change[] = [];
    for (const [set, { remove }] of this.#sets) {
      if (remove.length > 0) changes.push({ op: "delete elements", table: TABLE, set, elements: remove });
    }
    for (const [set, { add }] of this.#sets) {
      if (add.length > 0) changes.push({ op: "add elements", table: TABLE, set, elements: add });
    }
    return changes;
  }

  #of(set: SetHeader): { readonly remove: Element[]; readonly add: Element[] } {
    const known = this.#sets.get(set) ?? { remove: [], add: [] };
    this.#sets.set(set, known);
    return known;
  }
}
