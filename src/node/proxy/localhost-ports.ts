// NodePorts at 127.0.0.1 and ::1, for who asks for them (KEP-6032): connections are accepted here and carried to the node's own
// address. Translating them in the kernel would need `route_localnet`, which opens the loopback addresses to neighbours
// (CVE-2020-8558), and has no counterpart in IPv6. TCP only.
import { connect, createServer, type Socket } from "node:net";
import { errorMessage, type Logger } from "#base";
import { type Addr, type AddrPort, type Family, formatAddr, formatAddrPort, parseAddr } from "#ip";
import { connectSocket, type NetNs } from "#linux";
import { TCP } from "#nft";
import { Listeners } from "./listen.ts";
import type { ProxyObserver } from "./reconcile.ts";
import type { CompiledService, Frontend } from "./types.ts";

const LOOPBACK: Readonly<Record<Family, Addr>> = { 4: parseAddr("127.0.0.1"), 6: parseAddr("::1") };

export interface LocalhostPortsOptions {
  readonly netns: NetNs | undefined;
  readonly logger: Logger;
}

export class LocalhostPorts implements ProxyObserver {
  readonly #o: LocalhostPortsOptions;
  /** Node ports by Service. */
  readonly #services = new Map<string, readonly Frontend[]>();
  /** Where connections go, by where they come in. */
  #targets: ReadonlyMap<string, AddrPort> = new Map();
  readonly #listeners: Listeners;
  readonly #connections = new Set<Socket>();

  constructor(options: LocalhostPortsOptions) {
    this.#o = options;
    this.#listeners = new Listeners({
      netns: options.netns,
      // Who has said all keeps hearing.
      createServer: () => createServer({ allowHalfOpen: true }, (socket) => this.#carry(socket)),
      onFailure: ({ addr, port }, err, attempt) => {
        const fields = { address: formatAddrPort(addr, port), error: errorMessage(err) };
        if (attempt === 0) options.logger.warn("cannot serve a NodePort on the loopback address, trying again", fields);
      },
    });
  }

  compiled(results: ReadonlyMap<string, CompiledService | undefined>): void {
    for (const [service, compiled] of results) {
      const own = (compiled?.frontends ?? []).filter(({ kind, protocol }) => kind === "NodePort" && protocol === TCP);
      if (own.length === 0) this.#services.delete(service);
      else this.#services.set(service, own);
    }
    const listen = new Map<string, AddrPort>();
    const targets = new Map<string, AddrPort>();
    for (const { family, addr, port } of [...this.#services.values()].flat()) {
      const at = { addr: LOOPBACK[family], port };
      const key = formatAddrPort(at.addr, at.port);
      // The first of the node's addresses will do.
      if (listen.has(key)) continue;
      listen.set(key, at);
      targets.set(key, { addr, port });
    }
    this.#targets = targets;
    this.#listeners.set([...listen.values()]);
  }

  /** Resolves when each port was tried since it was asked for. */
  settled(): Promise<void> {
    return this.#listeners.settled();
  }

  stop(): void {
    this.#listeners.stop();
    for (const socket of this.#connections) socket.destroy();
  }

  #carry(client: Socket): void {
    const at = tryKey(client);
    const target = at === undefined ? undefined : this.#targets.get(at);
    if (target === undefined) {
      client.destroy();
      return;
    }
    const backend = this.#open(target);
    for (const [from, to] of [
      [client, backend],
      [backend, client],
    ] as const) {
      this.#connections.add(from);
      from.on("close", () => {
        this.#connections.delete(from);
        to.destroy();
      });
      // An end that is reset takes the other along; "close" follows.
      from.on("error", () => to.resetAndDestroy());
      from.pipe(to);
    }
  }

  #open(to: AddrPort): Socket {
    const { netns } = this.#o;
    if (netns !== undefined) return connectSocket(netns, to, { allowHalfOpen: true });
    return connect({ host: formatAddr(to.addr), port: to.port, allowHalfOpen: true });
  }
}

function tryKey({ localAddress, localPort }: Socket): string | undefined {
  if (localAddress === undefined || localPort === undefined) return undefined;
  return formatAddrPort(parseAddr(localAddress), localPort);
}
