// One TLS server behind several addresses and a Unix socket.
import { unlinkSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { errorCode, errorMessage, FairleadError } from "#base";
import { type AddrPort, formatAddr, formatAddrPort } from "#ip";

export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Whose client certificates we believe. */
  readonly clientCa: string;
}

export interface ListenOptions extends TlsFiles {
  readonly addresses: readonly AddrPort[];
  readonly unixSocket: string | undefined;
  readonly onRequest: (req: IncomingMessage, res: ServerResponse) => void;
  readonly onUpgrade: (req: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

export interface Listener {
  /** In the order of the options, with the ports that were chosen where 0 was asked for. */
  readonly addresses: readonly AddrPort[];
  /** Stops accepting, and ends every connection. */
  close(): Promise<void>;
}

// Longer than the pauses of informers and kubectl: a reused connection saves a handshake.
const KEEP_ALIVE_MS = 120_000;

export async function listen(options: ListenOptions): Promise<Listener> {
  const tls = createTlsServer(
    {
      cert: options.certificate,
      key: options.key,
      ca: options.clientCa,
      requestCert: true,
      // Who has no certificate may have a token.
      rejectUnauthorized: false,
      ALPNProtocols: ["http/1.1"],
      keepAliveTimeout: KEEP_ALIVE_MS,
      requestTimeout: 0,
    },
    options.onRequest,
  );
  tls.on("upgrade", options.onUpgrade);
  tls.on("tlsClientError", (_, socket) => socket.destroy());
  const sockets = new Set<Socket>();
  const servers: Server[] = [];
  const addresses: AddrPort[] = [];
  for (const address of options.addresses) {
    const server = await listenOn(tls, sockets, address);
    servers.push(server);
    const bound = server.address();
    addresses.push({ addr: address.addr, port: typeof bound === "object" && bound !== null ? bound.port : address.port });
  }
  if (options.unixSocket !== undefined) servers.push(await listenOnPath(tls, sockets, options.unixSocket));
  return { addresses, close: () => closeAll(tls, servers, sockets) };
}

function accept(tls: TlsServer, sockets: Set<Socket>): Server {
  return createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    tls.emit("connection", socket);
  });
}

async function listenOn(tls: TlsServer, sockets: Set<Socket>, address: AddrPort): Promise<Server> {
  const server = accept(tls, sockets);
  const text = formatAddrPort(address.addr, address.port);
  await started(server, text, () => server.listen({ host: formatAddr(address.addr), port: address.port, ipv6Only: true }));
  return server;
}

async function listenOnPath(tls: TlsServer, sockets: Set<Socket>, path: string): Promise<Server> {
  // A server that was killed leaves its socket behind; whoever starts us sees to it that we are the only one.
  try {
    unlinkSync(path);
  } catch (err) {
    if (errorCode(err) !== "ENOENT") throw err;
  }
  const server = accept(tls, sockets);
  await started(server, path, () => server.listen(path));
  return server;
}

function started(server: Server, where: string, listenNow: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (err) => {
      const code = errorCode(err) ?? "ListenFailed";
      reject(new FairleadError(`Cannot listen on ${where}: ${errorMessage(err)}`, { code, op: "listen", facts: { where }, cause: err }));
    });
    server.once("listening", resolve);
    listenNow();
  });
}

async function closeAll(tls: TlsServer, servers: readonly Server[], sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
  tls.closeAllConnections();
  for (const socket of sockets) socket.destroy();
  await Promise.all(closed);
}
