// IPVS in memory, with the errors that the kernel gives. No packets move in it: a test says how many connections a destination has.
import { errnoNumber, KernelError } from "../kernel-error.ts";
import { describeChange, formatIpvsDestination, formatIpvsService } from "./describe.ts";
import type {
  IpvsChange,
  IpvsConnection,
  IpvsDestination,
  IpvsDestinationKey,
  IpvsDestinationState,
  IpvsService,
  IpvsServiceKey,
  IpvsServiceState,
  IpvsSocket,
  IpvsStats,
  IpvsTimeouts,
} from "./types.ts";

const NO_STATS: IpvsStats = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
const NO_CONNECTIONS = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 } as const;
const SCHEDULERS: ReadonlySet<string> = new Set(["rr", "wrr", "lc", "wlc", "sh", "dh", "sed", "nq", "mh"]);

interface FakeService {
  service: IpvsService;
  readonly destinations: Map<string, IpvsDestinationState>;
}

export class FakeIpvs implements IpvsSocket {
  /** Every change that was asked for, in order. */
  readonly changes: IpvsChange[] = [];
  #services = new Map<string, FakeService>();
  #timeouts: IpvsTimeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };
  #failures: string[] = [];

  /** The next change is refused with this errno. */
  failNext(errno: string): void {
    this.#failures.push(errno);
  }

  /** As if there were so many connections. */
  setConnections(service: IpvsServiceKey, destination: IpvsDestinationKey, active: number, inactive = 0): void {
    const { destinations } = this.#services.get(formatIpvsService(service)) ?? {};
    const id = formatIpvsDestination(destination);
    const found = destinations?.get(id);
    if (found === undefined) throw new TypeError(`${formatIpvsService(service)} has no destination ${id}`);
    destinations?.set(id, { ...found, activeConnections: active, inactiveConnections: inactive });
  }

  info(): { version: string; connectionTableSize: number } {
    return { version: "1.2.1", connectionTableSize: 4096 };
  }

  services(): IpvsServiceState[] {
    return [...this.#services.values()].map(({ service }) => ({ ...service, stats: NO_STATS }));
  }

  destinations(service: IpvsServiceKey): IpvsDestinationState[] {
    return [...(this.#services.get(formatIpvsService(service))?.destinations.values() ?? [])];
  }

  apply(changes: readonly IpvsChange[]): void {
    let first: KernelError | undefined;
    let refused = 0;
    for (const change of changes) {
      this.changes.push(change);
      const errno = this.#failures.shift() ?? this.#step(change);
      if (errno === undefined) continue;
      refused++;
      first ??= new KernelError({ op: describeChange(change), errno: errnoNumber(errno) });
    }
    if (first === undefined) return;
    throw new KernelError({ op: first.op ?? "", errno: first.errno, facts: { refused, of: changes.length } });
  }

  flush(): void {
    this.#services.clear();
  }

  connections(): IpvsConnection[] {
    return [];
  }

  timeouts(): IpvsTimeouts {
    return this.#timeouts;
  }

  setTimeouts(timeouts: Partial<IpvsTimeouts>): void {
    this.#timeouts = { ...this.#timeouts, ...timeouts };
  }

  close(): void {}

  #step(change: IpvsChange): string | undefined {
    const id = formatIpvsService(change.service);
    const found = this.#services.get(id);
    if (change.op === "delete service") {
      this.#services.delete(id);
      return undefined;
    }
    if (change.op === "add service" || change.op === "change service") {
      if (!SCHEDULERS.has(change.service.scheduler)) return "ENOENT";
      if (change.op === "add service" && found !== undefined) return "EEXIST";
      if (change.op === "change service" && found === undefined) return "ESRCH";
      if (found === undefined) this.#services.set(id, { service: change.service, destinations: new Map() });
      else found.service = change.service;
      return undefined;
    }
    if (change.op === "delete destination") {
      found?.destinations.delete(formatIpvsDestination(change.destination));
      return undefined;
    }
    return found === undefined ? "ESRCH" : setDestination(found.destinations, change.op, change.destination);
  }
}

function setDestination(
  destinations: Map<string, IpvsDestinationState>,
  op: "add destination" | "change destination",
  destination: IpvsDestination,
): string | undefined {
  const { weight, upperThreshold = 0, lowerThreshold = 0, forwarding = "masquerade" } = destination;
  if (weight < 0 || lowerThreshold > upperThreshold) return "ERANGE";
  const id = formatIpvsDestination(destination);
  const old = destinations.get(id);
  if (op === "add destination" && old !== undefined) return "EEXIST";
  if (op === "change destination" && old === undefined) return "ENOENT";
  const rest = old ?? { ...NO_CONNECTIONS, stats: NO_STATS };
  destinations.set(id, { ...rest, ...destination, forwarding, upperThreshold, lowerThreshold });
  return undefined;
}
