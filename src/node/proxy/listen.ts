// TCP ports in the node's network namespace, wherever this process is: opened, kept, tried again while somebody else has them.
import { closeSync } from "node:fs";
import { Server as HttpServer } from "node:http";
import type { Server } from "node:net";
import { WorkQueue } from "#base";
import { type AddrPort, formatAddr, formatAddrPort } from "#ip";
import { listenFd, type NetNs } from "#linux";

export interface ListenersOptions {
  /** Absent: the one this process is in. */
  readonly netns: NetNs | undefined;
  /** One for each port. It is to listen itself: an HTTP server that is handed connections neither times them out nor ends them. */
  readonly createServer: () => Server;
  /** `attempt` counts from 0; it is tried again until it is not wanted any more. */
  readonly onFailure: (at: AddrPort, err: unknown, attempt: number) => void;
}

const RETRY = { initialMs: 1000, maxMs: 30_000 };
const AT_ONCE = 8;

export class Listeners {
  readonly #options: ListenersOptions;
  #wanted: ReadonlyMap<string, AddrPort> = new Map();
  readonly #open = new Map<string, Server>();
  readonly #queue: WorkQueue;

  constructor(options: ListenersOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      run: (key) => this.#reconcile(key),
      onError: (key, err, attempt) => {
        const at = this.#wanted.get(key);
        if (at !== undefined) options.onFailure(at, err, attempt);
      },
      concurrency: AT_ONCE,
      backoff: RETRY,
    });
  }

  set(wanted: readonly AddrPort[]): void {
    this.#wanted = new Map(wanted.map((at) => [formatAddrPort(at.addr, at.port), at]));
    for (const key of this.#wanted.keys()) if (!this.#open.has(key)) this.#queue.add(key);
    for (const key of this.#open.keys()) if (!this.#wanted.has(key)) this.#queue.add(key);
  }

  /** Resolves when each port was tried since it was asked for. */
  settled(): Promise<void> {
    return this.#queue.idle();
  }

  stop(): void {
    this.#queue.stop();
    this.#wanted = new Map();
    for (const server of this.#open.values()) end(server);
    this.#open.clear();
  }

  async #reconcile(key: string): Promise<undefined> {
    const at = this.#wanted.get(key);
    const server = this.#open.get(key);
    if (at === undefined) {
      this.#open.delete(key);
      if (server !== undefined) end(server);
    } else if (server === undefined) {
      const opened = await listen(this.#options, at);
      if (this.#wanted.has(key)) this.#open.set(key, opened);
      else end(opened);
    }
  }
}

function end(server: Server): void {
  server.close();
  if (server instanceof HttpServer) server.closeAllConnections();
}

/** Rejects with EADDRINUSE, EADDRNOTAVAIL and the like. */
async function listen({ netns, createServer }: ListenersOptions, { addr, port }: AddrPort): Promise<Server> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("listening", resolve).once("error", reject);
  // Of IPv6 only, so that both families can have a port side by side.
  if (netns === undefined) server.listen({ host: formatAddr(addr), port, ipv6Only: addr.family === 6 });
  else listenOn(server, listenFd(netns, addr, port));
  await promise;
  // What comes later is an accept that failed, for want of descriptors: the next one may not.
  server.off("error", reject).on("error", () => {});
  return server;
}

function listenOn(server: Server, fd: number): void {
  try {
    server.listen({ fd });
  } catch (err) {
    closeSync(fd);
    throw err;
  }
}
