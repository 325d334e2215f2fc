// What probes and Prometheus ask the proxy: /healthz and /livez at one place, /metrics and /proxyMode at another, as kube-proxy has them.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { EXPOSITION_TYPE, errorMessage, type Logger } from "#base";
import { type AddrPort, formatAddrPort } from "#ip";
import type { NetNs } from "#linux";
import type { ProxyHealth } from "./health.ts";
import { Listeners } from "./listen.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { formatMetrics, type MetricsContext } from "./metrics-text.ts";

export interface StatusOptions {
  readonly netns: NetNs | undefined;
  /** Where /healthz and /livez are; empty: nowhere. */
  readonly healthz: readonly AddrPort[];
  /** Where /metrics and /proxyMode are; empty: nowhere. */
  readonly metricsAt: readonly AddrPort[];
  readonly health: ProxyHealth;
  readonly metrics: ProxyMetrics;
  /** What else runs beside the proxy, as text of the same format. */
  readonly furtherMetrics?: () => string;
  readonly context: () => MetricsContext;
  readonly logger: Logger;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const REQUEST_MS = 10_000;

export class StatusServers {
  readonly #o: StatusOptions;
  readonly #listeners: readonly Listeners[];

  constructor(options: StatusOptions) {
    this.#o = options;
    this.#listeners = [
      this.#serve(options.healthz, { "/healthz": () => this.#healthz(), "/livez": () => this.#livez() }),
      this.#serve(options.metricsAt, {
        "/metrics": () => ({
          status: 200,
          type: EXPOSITION_TYPE,
          body: formatMetrics(options.metrics, options.context()) + (options.furtherMetrics?.() ?? ""),
        }),
        "/proxyMode": () => ({ status: 200, type: "text/plain; charset=utf-8", body: options.context().mode }),
        "/healthz": () => ({ status: 200, type: "text/plain; charset=utf-8", body: "ok" }),
      }),
    ];
  }

  /** Resolves when each port was tried. */
  async settled(): Promise<void> {
    for (const listeners of this.#listeners) await listeners.settled();
  }

  stop(): void {
    for (const listeners of this.#listeners) listeners.stop();
  }

  #serve(at: readonly AddrPort[], paths: Readonly<Record<string, () => Answer>>): Listeners {
    const limits = { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS };
    const listeners = new Listeners({
      netns: this.#o.netns,
      createServer: () => createServer(limits, (request, response) => answer(paths, request, response)),
      onFailure: ({ addr, port }, err, attempt) => {
        const fields = { at: formatAddrPort(addr, port), paths: Object.keys(paths), error: errorMessage(err) };
        if (attempt === 0) this.#o.logger.warn("cannot listen, trying again", fields);
      },
    });
    listeners.set(at);
    return listeners;
  }

  /** For load balancers that send to all nodes (externalTrafficPolicy Cluster): a node that is about to go says no in time (KEP-3836). */
  #healthz(): Answer {
    const { health, metrics } = this.#o;
    const status = health.isHealthy() && health.isEligible() ? 200 : 503;
    count(metrics.proxy_healthz_total, status);
    return json(status, { ...this.#times(), nodeEligible: health.isEligible() });
  }

  /** For who would start the proxy again, which helps against nothing that happens to the node. */
  #livez(): Answer {
    const { health, metrics } = this.#o;
    const status = health.isHealthy() ? 200 : 503;
    count(metrics.proxy_livez_total, status);
    return json(status, this.#times());
  }

  #times(): { lastUpdated: string; currentTime: string } {
    const { lastUpdated, currentTime } = this.#o.health.times();
    return { lastUpdated: new Date(lastUpdated).toISOString(), currentTime: new Date(currentTime).toISOString() };
  }
}

function answer(paths: Readonly<Record<string, () => Answer>>, request: IncomingMessage, response: ServerResponse): void {
  const path = request.url?.split("?")[0] ?? "";
  const make = Object.hasOwn(paths, path) ? paths[path] : undefined;
  const { status, type, body } = make?.() ?? { status: 404, type: "text/plain; charset=utf-8", body: "404 page not found\n" };
  response
    .writeHead(status, { "content-type": type, "x-content-type-options": "nosniff" })
    .end(request.method === "HEAD" ? undefined : body);
}

function json(status: number, body: object): Answer {
  return { status, type: "application/json", body: JSON.stringify(body) };
}

function count(counts: Map<number, number>, status: number): void {
  counts.set(status, (counts.get(status) ?? 0) + 1);
}
