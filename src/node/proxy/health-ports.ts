// The health check node ports: a load balancer asks each node whether it has endpoints of a Service with externalTrafficPolicy Local,
// and sends only to nodes that say 200. Answers as kube-proxy's (k/k pkg/proxy/healthcheck/service_health.go).
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Service } from "kubernetes-types/core/v1";
import { errorMessage, type Logger } from "#base";
import type { EventRecorder, Informer } from "#client";
import { type Addr, type AddrPort, formatAddrPort } from "#ip";
import type { NetNs } from "#linux";
import { Listeners } from "./listen.ts";
import type { ProxyObserver } from "./reconcile.ts";
import type { CompiledService } from "./types.ts";

export interface HealthPortsOptions {
  readonly netns: NetNs | undefined;
  readonly addresses: readonly Addr[];
  readonly isProxyHealthy: () => boolean;
  /** Whose events tell of a port that cannot be had. */
  readonly services: Pick<Informer<Service>, "get">;
  readonly events: EventRecorder | undefined;
  readonly logger: Logger;
}

/** What a Service asks for. */
interface Check {
  readonly port: number;
  localEndpoints: number;
}

/** A request that is not complete by then is none; load balancers ask every few seconds. */
const REQUEST_MS = 10_000;

export class HealthPorts implements ProxyObserver {
  readonly #o: HealthPortsOptions;
  /** By Service. */
  readonly #checks = new Map<string, Check>();
  /** Who has a port: the first Service to ask for it. */
  readonly #owners = new Map<number, string>();
  readonly #listeners: Listeners;
  #addresses: readonly Addr[];

  constructor(options: HealthPortsOptions) {
    this.#o = options;
    this.#addresses = options.addresses;
    const limits = { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS };
    this.#listeners = new Listeners({
      netns: options.netns,
      createServer: () => createServer(limits, (request, response) => this.#answer(request, response)),
      onFailure: (at, err, attempt) => {
        if (attempt === 0) this.#failed(at, err);
      },
    });
  }

  compiled(results: ReadonlyMap<string, CompiledService | undefined>): void {
    let changed = false;
    for (const [service, compiled] of results) {
      const before = this.#checks.get(service);
      const now = compiled?.healthCheck;
      if (before !== undefined && before.port === now?.port) before.localEndpoints = now.localEndpoints;
      else if (before !== undefined || now !== undefined) {
        changed = true;
        this.#checks.delete(service);
        if (before !== undefined && this.#owners.get(before.port) === service) this.#owners.delete(before.port);
        if (now !== undefined) this.#checks.set(service, { ...now });
      }
    }
    if (!changed) return;
    for (const [service, { port }] of this.#checks) {
      const owner = this.#owners.get(port);
      if (owner === undefined) this.#owners.set(port, service);
      else if (owner !== service && results.has(service)) this.#tell(service, port, `the Service ${owner} has it`);
    }
    this.#listen();
  }

  setAddresses(addresses: readonly Addr[]): void {
    this.#addresses = addresses;
    this.#listen();
  }

  /** Resolves when each port was tried since it was asked for. */
  settled(): Promise<void> {
    return this.#listeners.settled();
  }

  stop(): void {
    this.#listeners.stop();
  }

  #listen(): void {
    this.#listeners.set([...this.#owners.keys()].flatMap((port) => this.#addresses.map((addr) => ({ addr, port }))));
  }

  #failed({ addr, port }: AddrPort, err: unknown): void {
    const service = this.#owners.get(port);
    if (service !== undefined) this.#tell(service, port, `${formatAddrPort(addr, port)}: ${errorMessage(err)}`);
  }

  #tell(service: string, port: number, why: string): void {
    const message = `Cannot listen on the health check node port ${port} (${why}), so load balancers take this node for unhealthy`;
    this.#o.logger.warn(message, { service });
    const object = this.#o.services.get(service);
    if (object !== undefined) this.#o.events?.event(object, { type: "Warning", reason: "FailedToStartServiceHealthcheck", message });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const service = this.#owners.get(request.socket.localPort ?? 0);
    const check = this.#checks.get(service ?? "");
    // The Service went while the connection was kept.
    if (service === undefined || check === undefined) {
      response.writeHead(404, { connection: "close" }).end();
      return;
    }
    const [namespace, name] = service.split("/");
    const { localEndpoints } = check;
    const serviceProxyHealthy = this.#o.isProxyHealthy();
    response.writeHead(localEndpoints > 0 && serviceProxyHealthy ? 200 : 503, {
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "x-load-balancing-endpoint-weight": String(localEndpoints),
    });
    response.end(`${JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy })}\n`);
  }
}
