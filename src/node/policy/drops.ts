// What policies refuse, as it happens: from the log group of the table to connections with names. Nothing here touches a packet that passes,
// and nobody listens unless somebody watches.
import { errorMessage, FairleadError, type Logger } from "#base";
import { type Addr, addrEquals, formatAddr } from "#ip";
import type { LoggedPacket, NftSocket, PacketLog } from "#linux";
import type { Direction, PodFacts } from "#netpol";
import { decodePacket } from "#wire";
import type { Drop, DropEnd, DropsLeftOut } from "./drop-types.ts";
import { DROP_GROUP, TABLE, UNKNOWN_CHAIN } from "./layout.ts";

export interface DropsOptions {
  readonly nodeName: string;
  readonly nft: Pick<NftSocket, "chains">;
  readonly openLog: PacketLog;
  readonly logger: Logger;
  readonly pods: () => Iterable<PodFacts>;
  /** The policies behind a log prefix. */
  readonly refusing: (prefix: string) => readonly string[] | undefined;
}

type Told = Drop | DropsLeftOut;

/** Who reads slowly misses some. */
const MOST_WAITING = 1000;
/** How often those are counted of which nobody was told. */
const COUNT_MS = 2000;

export class Drops {
  readonly #o: DropsOptions;
  readonly #watchers = new Set<Watcher>();
  #log: { close(): void } | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** By chain: refused until somebody looked first, and told of since. */
  readonly #counts = new Map<string, { refused: number; told: number }>();

  constructor(options: DropsOptions) {
    this.#o = options;
  }

  /** From now on, until `signal` aborts. Throws where the kernel's log cannot be had. */
  watch(signal: AbortSignal): AsyncIterable<Told> {
    const watcher = new Watcher(signal, () => this.#leave(watcher));
    this.#start();
    this.#watchers.add(watcher);
    return watcher;
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.end();
  }

  #start(): void {
    if (this.#log !== undefined) return;
    try {
      this.#log = this.#o.openLog(
        { group: DROP_GROUP },
        { packet: (packet) => this.#told(packet), lost: (count) => this.#tell(this.#leftOut(count, undefined)) },
      );
    } catch (err) {
      throw new FairleadError(`Cannot watch what policies refuse on ${this.#o.nodeName}: ${errorMessage(err)}`, { code: "NoPacketLog" });
    }
    this.#baseline();
    this.#timer = setInterval(() => this.#count(), COUNT_MS).unref();
  }

  #leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    this.#log?.close();
    this.#log = undefined;
    clearInterval(this.#timer);
    this.#counts.clear();
  }

  #told(packet: LoggedPacket): void {
    const { prefix } = packet;
    const count = this.#counts.get(prefix) ?? { refused: 0, told: 0 };
    this.#counts.set(prefix, { ...count, told: count.told + 1 });
    const drop = readDrop(packet, this.#o);
    if (drop !== undefined) this.#tell(drop);
  }

  #tell(told: Told): void {
    for (const watcher of this.#watchers) watcher.push(told);
  }

  #leftOut(count: number, prefix: string | undefined): DropsLeftOut {
    const policies = prefix === undefined ? undefined : this.#o.refusing(prefix);
    return { time: new Date().toISOString(), node: this.#o.nodeName, leftOut: count, ...(policies && { policies }) };
  }

  #baseline(): void {
    for (const [prefix, refused] of this.#refused()) this.#counts.set(prefix, { refused, told: 0 });
  }

  /** The kernel's counters know those too that the limit kept from being told. */
  #count(): void {
    if (![...this.#counts.values()].some(({ told }) => told > 0)) return;
    for (const [prefix, refused] of this.#refused()) {
      const { refused: before, told } = this.#counts.get(prefix) ?? { refused: 0, told: 0 };
      this.#counts.set(prefix, { refused, told: 0 });
      const missed = refused - before - told;
      if (missed > 0 && told > 0) this.#tell(this.#leftOut(missed, prefix));
    }
  }

  #refused(): Map<string, number> {
    try {
      return new Map((this.#o.nft.chains(TABLE) ?? []).flatMap(({ rules }) => countOf(rules)));
    } catch (err) {
      this.#o.logger.debug("cannot count what policies refused", { error: errorMessage(err) });
      return new Map();
    }
  }
}

/** The rule that tells is before the rule that refuses, see `refuse`. */
function countOf(rules: NonNullable<ReturnType<NftSocket["chains"]>>[number]["rules"]): [string, number][] {
  return rules.flatMap(({ statements }, i): [string, number][] => {
    const log = statements.find((statement) => statement.kind === "log");
    const counter = rules[i + 1]?.statements.find((statement) => statement.kind === "counter");
    return log?.prefix === undefined || counter === undefined ? [] : [[log.prefix, counter.packets]];
  });
}

class Watcher implements AsyncIterable<Told> {
  readonly #waiting: Told[] = [];
  readonly #leave: () => void;
  #wake: (() => void) | undefined;
  #isOver = false;
  #missed = 0;

  constructor(signal: AbortSignal, leave: () => void) {
    this.#leave = leave;
    if (signal.aborted) queueMicrotask(() => this.end());
    else signal.addEventListener("abort", () => this.end(), { once: true });
  }

  push(told: Told): void {
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push(told);
    else this.#missed += "leftOut" in told ? told.leftOut : 1;
    this.#wake?.();
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#leave();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Told> {
    try {
      while (!this.#isOver) {
        const told = this.#waiting.shift();
        if (told !== undefined) yield this.#withMissed(told);
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.end();
    }
  }

  #withMissed(told: Told): Told {
    if (!("leftOut" in told)) return told;
    const leftOut = told.leftOut + this.#missed;
    this.#missed = 0;
    return { ...told, leftOut };
  }
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP" };
const HAS_PORTS: ReadonlySet<string> = new Set(["TCP", "UDP", "SCTP"]);

/** As the policy judged it: who began the connection, and who would answer at which port, after a Service's translation. */
function readDrop(
  { prefix, data, original, reply }: LoggedPacket,
  { nodeName: node, pods, refusing }: Pick<DropsOptions, "nodeName" | "pods" | "refusing">,
): Drop | undefined {
  const ip = decodePacket(data)?.ip;
  if (ip === undefined) return undefined;
  const protocol = PROTOCOLS[ip.protocol] ?? String(ip.protocol);
  const ports = HAS_PORTS.has(protocol) ? portsOf(data, ip) : undefined;
  const known = [...pods()];
  const end = (addr: Addr, port: number | undefined): DropEnd => {
    const pod = known.find(({ isPeer, addrs }) => isPeer && addrs.some((own) => addrEquals(own, addr)))?.key;
    return { addr: formatAddr(addr), ...(ports && port !== undefined && { port }), ...(pod !== undefined && { pod }) };
  };
  const [from, to] =
    original !== undefined && reply !== undefined
      ? [end(original.src, original.srcPort), end(reply.src, reply.srcPort)]
      : [end(ip.src, ports?.src), end(ip.dst, ports?.dst)];
  const told = { time: new Date().toISOString(), node, ...directionOf(prefix), from, to, protocol, family: ip.family };
  return { ...told, policies: refusing(prefix) ?? [] };
}

function directionOf(prefix: string): { direction?: Direction } {
  const direction = (["ingress", "egress"] as const).find((one) => prefix.startsWith(one));
  return direction === undefined || prefix === UNKNOWN_CHAIN ? {} : { direction };
}

/** The same place in TCP, UDP and SCTP. Only where no extension headers are between. */
function portsOf(data: Uint8Array, { family }: { readonly family: 4 | 6 }): { src: number; dst: number } | undefined {
  const at = family === 4 ? 4 * ((data[0] ?? 0) & 15) : 40;
  if (data.length < at + 4) return undefined;
  const view = new DataView(data.buffer, data.byteOffset + at);
  return { src: view.getUint16(0), dst: view.getUint16(2) };
}
