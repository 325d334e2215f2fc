// The cluster's ports on the host's loopback: each connection is carried over a Unix socket into the sandbox.
import { connect, createServer, type Server, type Socket } from "node:net";
import { errorCode, errorMessage, FairleadError, type Logger, systemClock } from "#base";
import { askControl, controlLines, join } from "#sandbox";

const LOOPBACK = ["127.0.0.1", "::1"];
/** How long a client waits for an API server that is being started again. */
const API_PATIENCE_MS = 5_000;
const RETRY_MS = 50;
/** How often a port that somebody else has is tried again. */
const TAKEN_RETRY_MS = 1_000;

/** Publishes the API server's Unix socket on `port` (0: a free one) and returns the port. */
export async function publishApi(port: number, apiSocket: string): Promise<number> {
  const onConnection = (client: Socket): void => {
    client.on("error", () => client.destroy());
    connectPatiently(apiSocket).then(
      (upstream) => join(client, upstream),
      () => client.destroy(),
    );
  };
  const servers = await listenLoopback(port, onConnection);
  const address = servers[0]?.address();
  if (typeof address !== "object" || address === null)
    throw new FairleadError("no loopback address to listen on", { code: "EADDRNOTAVAIL" });
  return address.port;
}

/** Listens on every loopback address that the host has; the first decides the port when it is 0. */
async function listenLoopback(port: number, onConnection: (socket: Socket) => void): Promise<Server[]> {
  const servers: Server[] = [];
  for (const host of LOOPBACK) {
    const server = createServer({ allowHalfOpen: true }, onConnection);
    const first = servers[0]?.address();
    const wanted = typeof first === "object" && first !== null ? first.port : port;
    try {
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen({ host, port: wanted, ipv6Only: true }, resolve));
      servers.push(server);
    } catch (err) {
      const code = errorCode(err);
      // A host without IPv6 (or IPv4) is no reason to fail; a port that is taken is.
      if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT") continue;
      for (const other of servers) other.close();
      throw new FairleadError(`port ${wanted} of ${host} is taken; free it or choose another one`, {
        code: code ?? "EADDRINUSE",
        cause: err,
      });
    }
  }
  return servers;
}

async function connectPatiently(path: string): Promise<Socket> {
  const deadline = Date.now() + API_PATIENCE_MS;
  for (;;) {
    const socket = connect({ path, allowHalfOpen: true });
    try {
      await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
      return socket;
    } catch (err) {
      if (Date.now() > deadline) throw err;
      await systemClock.sleep(RETRY_MS);
    }
  }
}

/** Follows the cluster's NodePorts and listens on the same ports of the host's loopback, for as long as the sandbox lives. */
export function publishNodePorts(controlSocket: string, logger: Logger): void {
  const published = new Map<number, AbortController>();
  void follow(controlSocket, (ports) => {
    for (const [port, abort] of published) {
      if (ports.includes(port)) continue;
      published.delete(port);
      abort.abort();
    }
    for (const port of ports) {
      if (published.has(port)) continue;
      const abort = new AbortController();
      published.set(port, abort);
      const onTaken = (err: unknown): void => logger.warn("cannot publish NodePort on the host", { port, err: errorMessage(err) });
      const onConnection = (client: Socket): void => void dial(controlSocket, client, port, logger);
      void listenWhenFree(port, { signal: abort.signal, onTaken, onConnection });
    }
  });
}

export interface WhenFree {
  readonly signal: AbortSignal;
  /** Called once, if the port is not free now. */
  readonly onTaken: (err: unknown) => void;
  readonly onConnection: (socket: Socket) => void;
}

/** Listens on the port as soon as nobody else does, until `signal` aborts: who has it may be another cluster that ends. */
export async function listenWhenFree(port: number, { signal, onTaken, onConnection }: WhenFree): Promise<void> {
  for (let told = false; !signal.aborted; await systemClock.sleep(TAKEN_RETRY_MS, signal)) {
    try {
      const servers = await listenLoopback(port, onConnection);
      const close = (): void => {
        for (const server of servers) server.close();
      };
      if (signal.aborted) close();
      else signal.addEventListener("abort", close, { once: true });
      return;
    } catch (err) {
      if (!told) onTaken(err);
      told = true;
    }
  }
}

async function follow(controlSocket: string, onPorts: (ports: readonly number[]) => void): Promise<never> {
  for (;;) {
    try {
      const { line, socket } = await askControl(controlSocket, { op: "node-ports" });
      onPorts(parsePorts(line));
      for await (const next of controlLines(socket)) onPorts(parsePorts(next));
    } catch {
      // The sandbox has not opened its door yet.
    }
    await systemClock.sleep(RETRY_MS);
  }
}

function parsePorts(line: string): number[] {
  const value: unknown = JSON.parse(line);
  if (typeof value !== "object" || value === null || !("ports" in value) || !Array.isArray(value.ports)) return [];
  return value.ports.filter((port): port is number => typeof port === "number");
}

async function dial(controlSocket: string, client: Socket, port: number, logger: Logger): Promise<void> {
  client.on("error", () => client.destroy());
  try {
    const { line, socket } = await askControl(controlSocket, { op: "dial-node-port", port });
    if (line !== "{}") throw new FairleadError(line, { code: "ECONNREFUSED" });
    join(client, socket);
  } catch (err) {
    logger.debug("cannot reach NodePort", { port, err: errorMessage(err) });
    client.destroy();
  }
}
