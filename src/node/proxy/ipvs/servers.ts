// From the virtual servers that are to those that should be. Pure.
//
// What was there and is not wanted gets no new connections any more. It stays for those that are there when they are TCP's, or when it
// still serves; otherwise it goes at once: a UDP client would stay with it for ever. Who stays is looked at by `drainServer`.
import type { IpvsChange } from "#linux";
import { TCP } from "#nft";
import { type Server, type ServerDestination, sameSettings, type WantedServer } from "./compile.ts";

/** `set` comes before `remove`: packets find somebody at any moment. */
export interface ServerSteps {
  readonly set: IpvsChange[];
  readonly remove: IpvsChange[];
}

/** Weight of those that get connections; all the same, which is what "rr" and persistence ask for. */
const ACTIVE = 1;
const LINGERING = 0;

export function changeServer(old: Server | undefined, wanted: WantedServer, protocol: number, steps: ServerSteps): Server {
  const { service, active, draining } = wanted;
  const destinations = new Map<string, ServerDestination>();
  if (old === undefined) steps.set.push({ op: "add service", service });
  else if (!sameSettings(old.service, service)) steps.set.push({ op: "change service", service });
  for (const { addr, port, id } of active) {
    const before = old?.destinations.get(id);
    const destination = { addr, port, weight: ACTIVE };
    destinations.set(id, destination);
    if (before === undefined) steps.set.push({ op: "add destination", service, destination });
    else if (before.weight !== ACTIVE) steps.set.push({ op: "change destination", service, destination });
  }
  for (const [id, destination] of old?.destinations ?? []) {
    if (destinations.has(id)) continue;
    if (protocol === TCP || draining.has(id)) destinations.set(id, linger(service, destination, steps));
    else steps.remove.push({ op: "delete destination", service, destination });
  }
  return { service, destinations };
}

/** For a server that nobody is to use any more: what is left of it, if anything. */
export function retireServer({ service, destinations }: Server, protocol: number, steps: ServerSteps): Server | undefined {
  if (protocol !== TCP || destinations.size === 0) {
    steps.remove.push({ op: "delete service", service });
    return undefined;
  }
  return { service, destinations: new Map([...destinations].map(([id, each]) => [id, linger(service, each, steps)])) };
}

function linger(service: Server["service"], destination: ServerDestination, steps: ServerSteps): ServerDestination {
  if (destination.weight === LINGERING) return destination;
  const lingering = { ...destination, weight: LINGERING };
  steps.set.push({ op: "change destination", service, destination: lingering });
  return lingering;
}

/** Ids of destinations that are there only for their connections. */
export function lingeringIn({ destinations }: Server): string[] {
  return [...destinations].filter(([, { weight }]) => weight === LINGERING).map(([id]) => id);
}

/** Takes away destinations that linger and have no connections left; `hasConnections` says which have. */
export function drainServer(server: Server, hasConnections: (id: string) => boolean, steps: ServerSteps): Server {
  const gone = lingeringIn(server).filter((id) => !hasConnections(id));
  if (gone.length === 0) return server;
  const destinations = new Map(server.destinations);
  for (const id of gone) {
    const destination = destinations.get(id);
    destinations.delete(id);
    if (destination !== undefined) steps.remove.push({ op: "delete destination", service: server.service, destination });
  }
  return { service: server.service, destinations };
}
