// The sockets: UDP and TCP, one of each per family, so that IPv4 works where IPv6 is off and the other way round.
import { createSocket, type Socket } from "node:dgram";
import { type Socket as Connection, createServer, isIPv6, type Server } from "node:net";
import { errorCode, errorMessage, FairleadError, type Logger } from "#base";
import type { DnsHandler } from "./handler.ts";

export interface ListenOptions {
  readonly handler: DnsHandler;
  readonly logger: Logger;
  /** Addresses to listen on; "0.0.0.0" and "::" for all. */
  readonly addresses: readonly string[];
  /** 0: any free one, the same for all sockets. */
  readonly port: number;
}

/** Idle TCP connections are closed after this (RFC 7766 §6.2.3 asks for seconds). */
const IDLE_MS = 10_000;
const MAX_CONNECTIONS = 1000;
/** Bursts wait in the kernel instead of being dropped. */
const RECEIVE_BUFFER_BYTES = 1 << 20;
const FAMILY_ABSENT: ReadonlySet<string> = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"]);

export interface Listeners {
  readonly port: number;
  /** `udp 0.0.0.0:53`, … */
  readonly endpoints: readonly string[];
  close(): Promise<void>;
}

/** Throws FairleadError when an address cannot be listened on, unless its whole family is off and another is there. */
export async function listen(options: ListenOptions): Promise<Listeners> {
  const udp: Socket[] = [];
  const tcp: Server[] = [];
  const endpoints: string[] = [];
  const connections = new Set<Connection>();
  const close = async (): Promise<void> => {
    for (const connection of connections) connection.destroy();
    await Promise.all([
      ...udp.map((socket) => new Promise<void>((done) => socket.close(done))),
      ...tcp.map((server) => new Promise((done) => server.close(done))),
    ]);
  };
  let port = options.port;
  const refused: unknown[] = [];
  for (const address of options.addresses) {
    try {
      const server = await listenTcp(options, { address, port, connections });
      tcp.push(server);
      const bound = server.address();
      if (typeof bound === "object" && bound !== null) port = bound.port;
      udp.push(await listenUdp(options, address, port));
      endpoints.push(`tcp ${address} port ${port}`, `udp ${address} port ${port}`);
    } catch (err) {
      if (!FAMILY_ABSENT.has(errorCode(err) ?? "")) {
        await close();
        throw cannotListen(address, port, err);
      }
      options.logger.info("an address is not there to listen on", { address, err: errorMessage(err) });
      refused.push(err);
    }
  }
  if (udp.length === 0) {
    await close();
    throw cannotListen(options.addresses.join(" and "), port, refused[0]);
  }
  return { port, endpoints, close };
}

function cannotListen(address: string, port: number, err: unknown): FairleadError {
  const hint = errorCode(err) === "EADDRINUSE" ? "; another DNS server runs there: choose another port or address" : "";
  return new FairleadError(`Cannot listen for DNS on ${address} port ${port}: ${errorMessage(err)}${hint}`, {
    code: errorCode(err) ?? "ListenFailed",
    op: "listen",
    facts: { address, port },
    cause: err,
  });
}

function listenUdp({ handler, logger }: ListenOptions, address: string, port: number): Promise<Socket> {
  const family = isIPv6(address) ? 6 : 4;
  const via = { tcp: false, family } as const;
  const socket = createSocket({
    type: family === 6 ? "udp6" : "udp4",
    ipv6Only: family === 6,
    recvBufferSize: RECEIVE_BUFFER_BYTES,
    // Replies go to addresses, never to names: without this every one of them would ask the system's resolver code.
    lookup: (host, _options, done) => done(null, host, family),
  });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off("error", reject);
      socket.on("error", (err) => logger.warn("a UDP socket reported an error", { err: err.message }));
      socket.on("message", (bytes, from) => {
        const send = (reply: Buffer): void => socket.send(reply, 0, reply.length, from.port, from.address, () => {});
        const reply = handler.handle(bytes, via);
        if (reply instanceof Promise) void reply.then((late) => sendIfOpen(socket, late, send));
        else if (reply !== undefined) send(reply);
      });
      resolve(socket);
    });
  });
}

function sendIfOpen(socket: Socket, reply: Buffer, send: (reply: Buffer) => void): void {
  try {
    socket.address();
  } catch {
    return;
  }
  send(reply);
}

interface TcpPlace {
  readonly address: string;
  readonly port: number;
  readonly connections: Set<Connection>;
}

function listenTcp({ handler, logger }: ListenOptions, { address, port, connections }: TcpPlace): Promise<Server> {
  const via = { tcp: true, family: isIPv6(address) ? 6 : 4 } as const;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (connection) => {
    connections.add(connection);
    connection.on("close", () => connections.delete(connection));
    connection.on("error", () => connection.destroy());
    connection.setTimeout(IDLE_MS, () => connection.destroy());
    serveConnection(connection, (bytes) => handler.handle(bytes, via));
  });
  server.maxConnections = MAX_CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: address, port, ipv6Only: true }, () => {
      server.off("error", reject);
      server.on("error", (err) => logger.warn("a TCP socket reported an error", { err: err.message }));
      resolve(server);
    });
  });
}

/** Reads queries with their lengths in front (RFC 1035 §4.2.2); several may be under way, and replies come as they are ready. */
function serveConnection(connection: Connection, handle: (bytes: Buffer) => Buffer | undefined | Promise<Buffer>): void {
  let received: Buffer = Buffer.alloc(0);
  let waiting = 0;
  let ended = false;
  const endIfDone = (): void => {
    if (ended && waiting === 0) connection.end();
  };
  const send = (reply: Buffer): void => {
    if (!connection.writable) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(reply.length);
    connection.write(Buffer.concat([length, reply]));
  };
  const take = (bytes: Buffer): void => {
    const reply = handle(bytes);
    if (!(reply instanceof Promise)) {
      if (reply !== undefined) send(reply);
      return;
    }
    waiting++;
    void reply.then((late) => {
      waiting--;
      send(late);
      endIfDone();
    });
  };
  connection.on("data", (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      take(received.subarray(2, end));
      received = received.subarray(end);
    }
  });
  connection.on("end", () => {
    ended = true;
    endIfDone();
  });
}
