// Servers that say who they are and whom they see, and clients that ask them once.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { formatAddr, parseAddr } from "#ip";
import { connectSocket, listenFd, udpFd } from "#linux";
import type { Host } from "./topology.ts";

export type Protocol = "TCP" | "UDP" | "SCTP";

/** Where everybody answers. */
export const PORTS: readonly number[] = [8080, 8081];

export interface Closable {
  close(): void;
}

/** What a client hears: `NAME:PORT CLIENT` of who answers, "refused" (a reset or "port unreachable"), or "silence". */
export type Answer = string;

/** How long an answer may take. With an emulated processor all takes longer. */
const SILENCE_MS = process.env["FAIRLEAD_MATRIX_SILENCE_MS"] === undefined ? 400 : Number(process.env["FAIRLEAD_MATRIX_SILENCE_MS"]);

export function serve(at: Host, protocol: Protocol, port: number): Closable[] {
  // By address: a UDP answer from a socket on all of them would come from the first.
  return Object.values(at.addrs).map((text) => {
    const addr = parseAddr(text);
    if (protocol === "UDP") {
      const socket = createSocket(addr.family === 4 ? "udp4" : "udp6");
      socket.bind({ fd: udpFd(at.ns, addr, port) });
      socket.on("message", (_, from) => socket.send(`${at.name}:${port} ${from.address}`, from.port, from.address));
      return socket;
    }
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => {
        socket.write(`${at.name}:${port} ${socket.remoteAddress}`);
        socket.destroySoon();
      });
    });
    server.listen({ fd: listenFd(at.ns, addr, port, protocol === "SCTP" ? { protocol: "sctp" } : {}) });
    return server;
  });
}

export async function ask(from: Host, protocol: Protocol, to: string, port: number): Promise<Answer> {
  const client = protocol === "UDP" ? askUdp(from, to, port) : askStream(from, protocol, to, port);
  const { promise: silence, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve("silence"), SILENCE_MS);
  try {
    return (await Promise.race([client.answer, silence])).replace("::ffff:", "");
  } finally {
    clearTimeout(timer);
    client.close();
  }
}

interface Asking extends Closable {
  readonly answer: Promise<Answer>;
}

function askStream(from: Host, protocol: "TCP" | "SCTP", to: string, port: number): Asking {
  const options = protocol === "SCTP" ? ({ protocol: "sctp", hearsIcmp: true } as const) : {};
  const socket: Socket = connectSocket(from.ns, { addr: parseAddr(to), port }, options);
  const { promise: answer, resolve } = Promise.withResolvers<Answer>();
  socket.once("connect", () => socket.write("?"));
  socket.once("data", (data) => resolve(String(data)));
  socket.on("error", (err) => resolve(codeOf(err)));
  return { answer, close: () => void socket.destroy() };
}

function askUdp(from: Host, to: string, port: number): Asking {
  const addr = parseAddr(to);
  const socket = createSocket(addr.family === 4 ? "udp4" : "udp6");
  socket.bind({ fd: udpFd(from.ns, parseAddr(addr.family === 4 ? "0.0.0.0" : "::"), 0) });
  const { promise: answer, resolve } = Promise.withResolvers<Answer>();
  socket.once("message", (data) => resolve(String(data)));
  socket.on("error", (err) => resolve(codeOf(err)));
  // A connected socket takes answers from nowhere else, and hears of ICMP errors.
  socket.connect(port, formatAddr(addr));
  void once(socket, "connect").then(
    () => socket.send("?"),
    () => {},
  );
  return { answer, close: () => socket.close() };
}

function codeOf(err: Error): Answer {
  const code = "code" in err ? String(err.code) : String(err);
  return code === "ECONNREFUSED" ? "refused" : code;
}
