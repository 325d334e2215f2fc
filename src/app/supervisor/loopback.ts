// Ports of the host's loopback, of every address that it has.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { errorCode, FairleadError, systemClock } from "#base";

const LOOPBACK = ["127.0.0.1", "::1"];
/** How often a port that somebody else has is tried again. */
const TAKEN_RETRY_MS = 1_000;

/** Opens one for each address; what one host lacks is no reason to fail, a port that is taken is. */
async function openAll<T extends { close(): void }>(port: number, open: (host: string, opened: readonly T[]) => Promise<T>): Promise<T[]> {
  const opened: T[] = [];
  for (const host of LOOPBACK) {
    try {
      opened.push(await open(host, opened));
    } catch (err) {
      const code = errorCode(err);
      if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT") continue;
      for (const other of opened) other.close();
      if (code !== "EADDRINUSE") throw err;
      throw new FairleadError(`port ${port} of ${host} is taken; free it or choose another one`, { code, cause: err });
    }
  }
  return opened;
}

/** Listens for TCP; the first address decides the port when it is 0. */
export function listenLoopback(port: number, onConnection: (socket: Socket) => void): Promise<Server[]> {
  return openAll(port, async (host, opened: readonly Server[]) => {
    const server = createServer({ allowHalfOpen: true }, onConnection);
    const first = opened[0]?.address();
    const wanted = typeof first === "object" && first !== null ? first.port : port;
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen({ host, port: wanted, ipv6Only: true }, resolve));
    return server;
  });
}

/** Binds for UDP. */
export function bindLoopback(port: number, onSocket: (socket: UdpSocket) => void): Promise<UdpSocket[]> {
  return openAll(port, async (host) => {
    const socket = createSocket(host.includes(":") ? { type: "udp6", ipv6Only: true } : { type: "udp4" });
    try {
      socket.bind(port, host);
      await once(socket, "listening");
    } catch (err) {
      socket.close();
      throw err;
    }
    socket.on("error", () => {});
    onSocket(socket);
    return socket;
  });
}

export interface WhenFree {
  readonly signal: AbortSignal;
  /** Called once, if the port is not free now. */
  readonly onTaken: (err: unknown) => void;
}

/** Opens a port as soon as nobody else has it, until `signal` aborts: who has it may be another cluster that ends. */
export async function openWhenFree(open: () => Promise<readonly { close(): void }[]>, { signal, onTaken }: WhenFree): Promise<void> {
  for (let told = false; !signal.aborted; await systemClock.sleep(TAKEN_RETRY_MS, signal)) {
    try {
      const opened = await open();
      const close = (): void => {
        for (const one of opened) one.close();
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
