// The cluster's ports on the host's loopback: each connection is carried over a Unix socket into the sandbox.
import { connect, type Socket } from "node:net";
import { errorMessage, FairleadError, type Logger, systemClock } from "#base";
import { askControl, controlLines, isNodePort, join, type NodePort } from "#sandbox";
import { bindLoopback, listenLoopback, openWhenFree } from "./loopback.ts";
import { serveUdpSessions } from "./udp-sessions.ts";

/** How long a client waits for an API server that is being started again. */
const API_PATIENCE_MS = 5_000;
const RETRY_MS = 50;

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

/** Follows the cluster's NodePorts and has the same ports of the host's loopback, for as long as the sandbox lives. */
export function publishNodePorts(controlSocket: string, logger: Logger): void {
  const published = new Map<string, AbortController>();
  const publish = (ports: readonly NodePort[]): void => {
    const wanted = new Map(ports.map((port) => [`${port.protocol} ${port.port}`, port]));
    for (const [key, abort] of published) {
      if (wanted.has(key)) continue;
      published.delete(key);
      abort.abort();
    }
    for (const [key, port] of wanted) {
      if (published.has(key)) continue;
      const abort = new AbortController();
      published.set(key, abort);
      const onTaken = (err: unknown): void => logger.warn("cannot publish NodePort on the host", { ...port, err: errorMessage(err) });
      void openWhenFree(() => open(controlSocket, port, logger), { signal: abort.signal, onTaken });
    }
  };
  void follow(controlSocket, publish, logger);
}

function open(controlSocket: string, nodePort: NodePort, logger: Logger): Promise<readonly { close(): void }[]> {
  const { port, protocol } = nodePort;
  if (protocol === "TCP") return listenLoopback(port, (client) => void joinNodePort(controlSocket, client, nodePort, logger));
  return bindLoopback(port, (socket) => serveUdpSessions(socket, { dial: () => dial(controlSocket, nodePort), logger }));
}

async function follow(controlSocket: string, onPorts: (ports: readonly NodePort[]) => void, logger: Logger): Promise<never> {
  for (;;) {
    try {
      const { line, socket } = await askControl(controlSocket, { op: "node-ports" });
      onPorts(parsePorts(line));
      for await (const next of controlLines(socket)) onPorts(parsePorts(next));
    } catch (err) {
      // Mostly: the sandbox has not opened its door yet.
      logger.debug("cannot follow the sandbox's NodePorts, trying again", { err: errorMessage(err) });
    }
    await systemClock.sleep(RETRY_MS);
  }
}

function parsePorts(line: string): NodePort[] {
  const value: unknown = JSON.parse(line);
  if (typeof value !== "object" || value === null || !("ports" in value) || !Array.isArray(value.ports)) return [];
  return value.ports.filter(isNodePort);
}

async function joinNodePort(controlSocket: string, client: Socket, nodePort: NodePort, logger: Logger): Promise<void> {
  client.on("error", () => client.destroy());
  try {
    join(client, await dial(controlSocket, nodePort));
  } catch (err) {
    logger.debug("cannot reach NodePort", { ...nodePort, err: errorMessage(err) });
    client.destroy();
  }
}

async function dial(controlSocket: string, nodePort: NodePort): Promise<Socket> {
  const { line, socket } = await askControl(controlSocket, { op: "dial-node-port", ...nodePort });
  if (line === "{}") return socket;
  socket.destroy();
  throw new FairleadError(line, { code: "ECONNREFUSED" });
}
