// From what pods ask for to the table that should be, and from a table to the ports that are open. Pure.
import { type Addr, FAMILIES, type Family, formatAddr, formatAddrPort, parseAddr } from "#ip";
import { type Element, type NftSet, SCTP, type SetHeader, type Table, TCP, UDP, type Value } from "#nft";
import { SETS, skeletonChains, TABLE } from "./layout.ts";
import type { HostPort, PodPorts, PortMapping } from "./types.ts";

const PROTOCOLS: Readonly<Record<PortMapping["protocol"], number>> = { TCP, UDP, SCTP };

/** nft shows 127 bytes of a comment. */
const COMMENT_CHARS = 127;
const ID_CHARS = 12;

const ANY: Readonly<Record<Family, string>> = { 4: "0.0.0.0", 6: "::" };

/** Throws InputError for a hostIP that is no address. A hostIP asks for its own family only. */
export function hostPortsOf({ addrs, mappings }: PodPorts): HostPort[] {
  const ports = new Map<string, HostPort>();
  for (const { protocol, containerPort, hostPort, hostIp = "" } of mappings) {
    if (hostPort === 0) continue;
    const asked = hostIp === "" ? undefined : parseAddr(hostIp, "hostIP");
    for (const family of FAMILIES) {
      const to = addrs.find((addr) => addr.family === family);
      if (to === undefined || (asked !== undefined && asked.family !== family)) continue;
      const hostAddr = asked === undefined || isUnspecified(asked) ? undefined : asked;
      const port = { family, hostAddr, protocol: PROTOCOLS[protocol], port: hostPort, to, toPort: containerPort };
      // "" and 0.0.0.0 are the same to us, though not to the API's validation: the first has it.
      if (!ports.has(keyOf(port))) ports.set(keyOf(port), port);
    }
  }
  return [...ports.values()];
}

function isUnspecified(addr: Addr): boolean {
  return formatAddr(addr) === ANY[addr.family];
}

/** Which packets a port is about, as `TCP 0.0.0.0:80`. */
export function keyOf({ family, hostAddr, protocol, port }: Omit<HostPort, "to" | "toPort">): string {
  const name = Object.entries(PROTOCOLS).find(([, number]) => number === protocol)?.[0];
  return `${name ?? protocol} ${formatAddrPort(hostAddr ?? parseAddr(ANY[family]), port)}`;
}

export interface Conflict {
  readonly key: string;
  readonly winner: PodPorts;
  readonly loser: PodPorts;
}

export interface Desired {
  /** Undefined where no pod has a host port: then nothing of ours is in the kernel. */
  readonly table: Table | undefined;
  readonly ports: ReadonlyMap<string, HostPort>;
  readonly conflicts: readonly Conflict[];
}

/**
 * `pods` in the order in which they came: of two that want the same port the newer one has it, as with the reference plugin. The older
 * one is most likely on its way out, since the scheduler puts no two such pods on one node.
 */
export function compile(pods: Iterable<PodPorts>): Desired {
  const ports = new Map<string, { readonly port: HostPort; readonly pod: PodPorts }>();
  const conflicts: Conflict[] = [];
  for (const pod of pods) {
    for (const port of hostPortsOf(pod)) {
      const key = keyOf(port);
      const before = ports.get(key);
      if (before !== undefined) conflicts.push({ key, winner: pod, loser: before.pod });
      ports.set(key, { port, pod });
    }
  }
  const elements = new Map<SetHeader, Map<string, Element>>();
  const emit = (set: SetHeader, id: string, element: Element): void => {
    const own = elements.get(set) ?? new Map<string, Element>();
    elements.set(set, own.set(id, element));
  };
  for (const [key, { port, pod }] of ports) emitPort(key, port, pod, emit);
  const sets = FAMILIES.flatMap((family) => Object.values(SETS[family])).map(
    (set: SetHeader): NftSet => ({ ...set, elements: [...(elements.get(set)?.values() ?? [])] }),
  );
  const table: Table = { ...TABLE, comment: "Host ports of pods, by Fairlead", sets, chains: skeletonChains() };
  return { table: ports.size === 0 ? undefined : table, ports: new Map([...ports].map(([key, { port }]) => [key, port])), conflicts };
}

type Emit = (set: SetHeader, id: string, element: Element) => void;

function emitPort(key: string, port: HostPort, { pod, containerId }: PodPorts, emit: Emit): void {
  const { anyAddr, oneAddr, hairpin } = SETS[port.family];
  const id = containerId.slice(0, ID_CHARS);
  const comment = `${pod.slice(0, COMMENT_CHARS - 1 - id.length)} ${id}`;
  const tail = [port.protocol, port.port];
  const data = [port.to, port.toPort];
  if (port.hostAddr === undefined) emit(anyAddr, key, { key: tail, data, comment });
  else emit(oneAddr, key, { key: [port.hostAddr, ...tail], data, comment });
  emit(hairpin, formatAddr(port.to), { key: [port.to, port.to], comment });
}

/** The ports that a table of ours has open; what is not of our making is passed over. */
export function portsIn(table: Table | undefined): Map<string, HostPort> {
  const ports = new Map<string, HostPort>();
  for (const family of FAMILIES) {
    for (const set of [SETS[family].anyAddr, SETS[family].oneAddr]) {
      for (const element of table?.sets.find(({ name }) => name === set.name)?.elements ?? []) {
        const port = readPort(family, element);
        if (port !== undefined) ports.set(keyOf(port), port);
      }
    }
  }
  return ports;
}

function readPort(family: Family, { key, data }: Element): HostPort | undefined {
  if (data === undefined || "kind" in data) return undefined;
  const [first] = key;
  const hostAddr = isAddr(first) ? first : undefined;
  const [protocol, port] = hostAddr === undefined ? key : key.slice(1);
  const [to, toPort] = data;
  if (typeof protocol !== "number" || typeof port !== "number" || typeof toPort !== "number" || !isAddr(to)) return undefined;
  return { family, hostAddr, protocol, port, to, toPort };
}

function isAddr(value: Value | { readonly first: Value } | undefined): value is Addr {
  return typeof value === "object" && "family" in value;
}
