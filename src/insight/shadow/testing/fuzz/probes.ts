// Packets of real programs between the namespaces of a cluster: datagrams in bundles, and TCP connections. Who listens where follows the
// cluster that is in force: one that is not to listen at a port says nothing there.
import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { type Addr, addrEquals, type Family, formatAddr, formatAddrPort, parseAddr } from "#ip";
import { connectSocket, listenFd, udpFd } from "#linux";
import { type Question, TCP, UDP } from "#model";
import type { RealNamespace } from "../realize.ts";

const ANY: Readonly<Record<Family, Addr>> = { 4: parseAddr("0.0.0.0"), 6: parseAddr("::") };
const FAMILIES: readonly Family[] = [4, 6];

/** "answered by NAME, seen as ADDRESS"; "refused" where a TCP connection was reset; else "nothing". */
export type Observed = string;

interface Waiting {
  readonly question: Question;
  settle(observed: Observed): void;
}

/** Whether who listens at a place is to be there. */
export type Listens = (place: string, protocol: number, port: number) => boolean;

export class Probes {
  readonly #places: ReadonlyMap<string, RealNamespace>;
  readonly #servers: (Socket | Server)[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #listens: Listens = () => false;
  #nextId = 1;
  #nextPort = FIRST_PORT;

  constructor(places: ReadonlyMap<string, RealNamespace>, serving: readonly string[], ports: readonly number[]) {
    this.#places = places;
    for (const place of serving) for (const port of ports) for (const family of FAMILIES) this.#serve(place, port, family);
  }

  setListening(listens: Listens): void {
    this.#listens = listens;
  }

  /** From ports that have not been used for long, all at once. `waitMs`: how long for an answer. */
  async ask(questions: readonly Question[], waitMs: (question: Question) => number): Promise<Observed[]> {
    const port = this.#nextPort;
    this.#nextPort = port >= LAST_PORT ? FIRST_PORT : port + 1;
    const sockets = new Map<string, Socket>();
    const socketOf = (from: string, family: Family): Socket => {
      const id = `${from} ${family}`;
      const socket = sockets.get(id) ?? this.#client(from, family, port);
      sockets.set(id, socket);
      return socket;
    };
    const asked = questions.map((question) => {
      if (question.protocol === TCP) return this.#askTcp(question, waitMs(question));
      return this.#askUdp(question, socketOf(question.from, question.dst.family), waitMs(question));
    });
    const observed = await Promise.all(asked);
    for (const socket of sockets.values()) socket.close();
    return observed;
  }

  close(): void {
    for (const server of this.#servers) server.close();
  }

  #place(name: string): RealNamespace {
    const place = this.#places.get(name);
    if (place === undefined) throw new RangeError(`there is no place ${name}`);
    return place;
  }

  #client(from: string, family: Family, port: number): Socket {
    const socket = createSocket(family === 4 ? "udp4" : "udp6");
    socket.bind({ fd: udpFd(this.#place(from).ns, ANY[family], port) });
    // What its own namespace does not let out is an error of the call.
    socket.on("error", () => {});
    socket.on("message", (message, { address, port: theirs }) => {
      const [id = "", by = "", seenAs = ""] = message.toString().split(" ");
      const waiting = this.#waiting.get(Number(id));
      if (waiting === undefined) return;
      const { dst, dstPort } = waiting.question;
      const isAsked = addrEquals(parseAddr(plain(address)), dst) && theirs === dstPort;
      waiting.settle(
        isAsked ? `answered by ${by}, seen as ${seenAs}` : `an answer from ${formatAddrPort(parseAddr(plain(address)), theirs)}`,
      );
    });
    return socket;
  }

  #askUdp(question: Question, socket: Socket, waitMs: number): Promise<Observed> {
    const { promise, resolve } = Promise.withResolvers<Observed>();
    const id = this.#nextId++;
    const timer = setTimeout(() => settle("nothing"), waitMs);
    const settle = (observed: Observed): void => {
      clearTimeout(timer);
      this.#waiting.delete(id);
      resolve(observed);
    };
    this.#waiting.set(id, { question, settle });
    socket.send(String(id), question.dstPort, formatAddr(question.dst));
    return promise;
  }

  #askTcp({ from, dst, dstPort = 0 }: Question, waitMs: number): Promise<Observed> {
    const { promise, resolve } = Promise.withResolvers<Observed>();
    const socket = connectSocket(this.#place(from).ns, { addr: dst, port: dstPort });
    const timer = setTimeout(() => settle("nothing"), waitMs);
    const settle = (observed: Observed): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(observed);
    };
    socket.on("data", (data) => {
      const [by = "", seenAs = ""] = data.toString().split(" ");
      settle(`answered by ${by}, seen as ${seenAs}`);
    });
    socket.on("error", (err) => settle(/ECONNRE(?:FUSED|SET)/.test(String(err)) ? "refused" : "nothing"));
    return promise;
  }

  #serve(place: string, port: number, family: Family): void {
    const { ns } = this.#place(place);
    const udp = createSocket(family === 4 ? "udp4" : "udp6");
    udp.bind({ fd: udpFd(ns, ANY[family], port) });
    udp.on("error", () => {});
    udp.on("message", (message, { address, port: theirs }) => {
      if (this.#listens(place, UDP, port)) udp.send(`${message.toString()} ${place} ${plain(address)}`, theirs, address);
    });
    const tcp = createServer((socket) => {
      socket.on("error", () => {});
      if (this.#listens(place, TCP, port)) socket.end(`${place} ${plain(socket.remoteAddress ?? "")}`);
      else socket.resetAndDestroy();
    });
    tcp.listen({ fd: listenFd(ns, ANY[family], port) });
    this.#servers.push(udp, tcp);
  }
}

const FIRST_PORT = 10_000;
/** Below where connections have their own ports from (`net.ipv4.ip_local_port_range`), and NodePorts are. */
const LAST_PORT = 29_000;

function plain(address: string): string {
  return formatAddr(parseAddr(address.replace("::ffff:", "").replace(/%.*/, "")));
}
