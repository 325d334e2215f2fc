// Asks everything at once with real packets, and finds out what became of each.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { errorMessage } from "#base";
import { type Addr, FAMILIES, type Family, parseAddr } from "#ip";
import { connectSocket, listenFd, type NetNs, udpFd } from "#linux";
import { DNS_CLASS_IN, DNS_TYPE, decodeDns, dnsMessage, encodeDns } from "#wire";
import { DNS, PLACES, type Place, PORTS, PROTOCOL_NUMBERS, type Protocol } from "./network.ts";
import { flowKey, Witness } from "./witness.ts";

/** `lost`: neither answered nor seen to be dropped by a node; that is nobody's wish. */
export type Fate = "answered" | "dropped" | "lost" | `answered by ${string}` | `failed: ${string}`;

export interface Probe {
  readonly from: Place;
  /** The asked address and port. */
  readonly to: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** The pod that should answer, at which port of its own. */
  readonly by: Place;
  readonly byPort: number;
  /** Those of one sort share a socket of UDP. Connections to one pod through a Service and without are of different sorts. */
  readonly sort: Sort;
}

const SORTS = ["pod", "service", "name", "dns"] as const;

type Sort = (typeof SORTS)[number];

/** Asks the cluster's DNS for a name, over its Service. */
export interface Lookup {
  readonly from: Place;
  readonly name: string;
  readonly family: Family;
}

/** The machine may be busy: only what is neither answered nor dropped after this is lost. */
const LOST_MS = 20_000;
const AGAIN_MS = 300;
const DNS_PORT = 53;

interface Waiting {
  /** How nodes know it: of one that is answered nobody asks. */
  readonly key: () => string;
  fate: Fate | undefined;
  /** Sends once more what the kernel does not send again by itself. */
  readonly again: (() => void) | undefined;
  readonly end: () => void;
}

export class Prober {
  readonly #namespaces: ReadonlyMap<string, NetNs>;
  readonly #witnesses: readonly Witness[];
  readonly #servers: (Server | UdpSocket)[] = [];
  readonly #clients = new Map<string, UdpSocket>();
  /** Of UDP, by the number in the question. */
  readonly #asked = new Map<number, (answer: Buffer) => void>();
  #number = 0;
  #answers = 0;

  constructor(namespaces: ReadonlyMap<string, NetNs>, protocols: readonly Protocol[]) {
    this.#namespaces = namespaces;
    this.#witnesses = ["node-1", "node-2"].map((node) => new Witness(this.#at(node)));
    for (const pod of PLACES) {
      for (const family of FAMILIES) {
        const addr = parseAddr(pod.addrs[family]);
        for (const protocol of protocols) for (const port of PORTS) this.#serve(pod, addr, protocol, port);
        for (const sort of SORTS) this.#clients.set(`${pod.key} ${family} ${sort}`, this.#client(pod, family));
      }
    }
  }

  /** What becomes of each, in the same order. */
  async ask(probes: readonly Probe[]): Promise<Fate[]> {
    for (const witness of this.#witnesses) witness.clear();
    return await this.#settle(probes.map((probe) => (probe.protocol === "UDP" ? this.#askUdp(probe) : this.#connect(probe))));
  }

  /** The addresses that come, or what became of the question. */
  async lookup(lookups: readonly Lookup[]): Promise<(Fate | Addr)[]> {
    for (const witness of this.#witnesses) witness.clear();
    const found = new Map<Waiting, Addr>();
    const asked = lookups.map((lookup) => {
      const waiting: Waiting = this.#lookup(lookup, (addr) => found.set(waiting, addr));
      return waiting;
    });
    const fates = await this.#settle(asked);
    return asked.map((waiting, i) => found.get(waiting) ?? fates[i] ?? "lost");
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const client of this.#clients.values()) client.close();
    for (const witness of this.#witnesses) witness.close();
  }

  async #settle(asked: readonly Waiting[]): Promise<Fate[]> {
    const until = performance.now() + LOST_MS;
    let againAt = performance.now() + AGAIN_MS;
    let open = asked.filter(({ fate }) => fate === undefined);
    while (open.length > 0 && performance.now() < until) {
      await this.#quiet();
      open = open.filter(({ fate }) => fate === undefined);
      const dropped = new Set(open.length === 0 ? [] : this.#witnesses.flatMap((witness) => [...witness.dropped()]));
      for (const waiting of open) if (dropped.has(waiting.key())) waiting.fate = "dropped";
      open = open.filter(({ fate }) => fate === undefined);
      if (performance.now() < againAt) continue;
      for (const { again } of open) again?.();
      againAt = performance.now() + AGAIN_MS;
    }
    for (const { end } of asked) end();
    this.#asked.clear();
    return asked.map(({ fate }) => fate ?? "lost");
  }

  /** Until a whole turn of the event loop has brought no answer: what is on this machine's wires takes no longer. */
  async #quiet(): Promise<void> {
    for (let before = -1; before !== this.#answers; ) {
      before = this.#answers;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  #at(name: string): NetNs {
    const ns = this.#namespaces.get(name);
    if (ns === undefined) throw new Error(`there is no namespace ${name}`);
    return ns;
  }

  #serve(pod: Place, addr: Addr, protocol: Protocol, port: number): void {
    const ns = this.#at(pod.key);
    if (protocol === "UDP") {
      const socket = createSocket(addr.family === 4 ? "udp4" : "udp6");
      socket.bind({ fd: udpFd(ns, addr, port) });
      socket.on("message", (text, { port: to, address }) => socket.send(`${String(text)} ${pod.key}`, to, address));
      this.#servers.push(socket);
      return;
    }
    const server = createServer((socket) => socket.on("error", () => {}).resume());
    server.listen({ fd: listenFd(ns, addr, port, protocol === "SCTP" ? { protocol: "sctp" } : {}) });
    this.#servers.push(server);
  }

  #client(pod: Place, family: Family): UdpSocket {
    const socket = createSocket(family === 4 ? "udp4" : "udp6");
    socket.bind({ fd: udpFd(this.#at(pod.key), parseAddr(family === 4 ? "0.0.0.0" : "::"), 0) });
    socket.on("error", () => {});
    socket.on("message", (bytes, { port }) => {
      const number = port === DNS_PORT ? bytes.readUInt16BE(0) : Number.parseInt(String(bytes), 10);
      const answered = this.#asked.get(number);
      if (answered === undefined) return;
      this.#answers++;
      answered(bytes);
    });
    return socket;
  }

  #askUdp(probe: Probe): Waiting {
    const { from, to, port, by, sort } = probe;
    const { family } = parseAddr(to);
    const socket = this.#clients.get(`${from.key} ${family} ${sort}`);
    const number = this.#next();
    const again = (): void => socket?.send(String(number), port, to);
    const waiting: Waiting = { key: () => keyOf(probe, family, socket?.address().port ?? 0), fate: undefined, again, end: () => {} };
    const answered = (text: Buffer): void => {
      const [, name = ""] = String(text).split(" ");
      waiting.fate = name === by.key ? "answered" : `answered by ${name}`;
    };
    this.#asked.set(number, answered);
    again();
    return waiting;
  }

  #lookup({ from, name, family }: Lookup, found: (addr: Addr) => void): Waiting {
    const to = DNS.vip[4];
    const socket = this.#clients.get(`${from.key} 4 dns`);
    const number = this.#next();
    const type = family === 4 ? DNS_TYPE.A : DNS_TYPE.AAAA;
    const bytes = encodeDns(dnsMessage({ id: number, questions: [{ name, type, class: DNS_CLASS_IN }] }));
    const again = (): void => socket?.send(bytes, DNS_PORT, to);
    const probe: Probe = { from, to, port: DNS_PORT, protocol: "UDP", by: DNS, byPort: DNS_PORT, sort: "dns" };
    const waiting: Waiting = { key: () => keyOf(probe, 4, socket?.address().port ?? 0), fate: undefined, again, end: () => {} };
    const answered = (text: Buffer): void => {
      waiting.fate = "answered";
      for (const answer of decodeDns(text).answers) if (answer.type === "A" || answer.type === "AAAA") found(answer.address);
    };
    this.#asked.set(number, answered);
    again();
    return waiting;
  }

  /** 16 bits, as of DNS; no two that are open have the same. */
  #next(): number {
    do this.#number = (this.#number + 1) & 0xffff;
    while (this.#asked.has(this.#number));
    return this.#number;
  }

  /** A stream that is made is enough: the kernel of who is asked has answered, through both nodes, and said so. */
  #connect(probe: Probe): Waiting {
    const { from, to, protocol, port } = probe;
    const addr = parseAddr(to);
    const socket: Socket = connectSocket(this.#at(from.key), { addr, port }, protocol === "SCTP" ? { protocol: "sctp" } : {});
    const waiting: Waiting = {
      key: () => keyOf(probe, addr.family, socket.localPort ?? 0),
      fate: undefined,
      again: undefined,
      // With a reset: nothing of this connection comes after it, when other policies hold.
      end: () => (protocol === "TCP" ? socket.resetAndDestroy() : socket.destroy()),
    };
    socket.once("connect", () => {
      this.#answers++;
      waiting.fate = "answered";
    });
    socket.on("error", (err) => {
      this.#answers++;
      waiting.fate ??= `failed: ${errorMessage(err)}`;
    });
    return waiting;
  }
}

/**
 * What nodes see of it: its Service's address has become the pod's. Of a pod that asks itself nothing is said: its source becomes the node's
 * between the two chains.
 */
function keyOf({ from, protocol, by, byPort }: Probe, family: Family, fromPort: number): string {
  if (from === by) return "";
  return flowKey({ from: from.addrs[family], fromPort, to: by.addrs[family], protocol: PROTOCOL_NUMBERS[protocol], port: byPort });
}
