// The DNS server, put together.
import { type Clock, type Logger, systemClock } from "#base";
import type { Client } from "#client";
import { AnswerCache } from "./cache.ts";
import type { Upstream } from "./exchange.ts";
import { follow } from "./follow.ts";
import { Forwarder } from "./forwarder.ts";
import { DnsHandler } from "./handler.ts";
import { listen } from "./listeners.ts";
import type { ZoneOptions } from "./lookup.ts";
import { DnsMetrics } from "./metrics.ts";
import { lowerName, REVERSE_ZONES } from "./names.ts";
import { type StatusPorts, serveStatusPages } from "./status-pages.ts";
import { ZoneIndex } from "./zone-index.ts";

export interface DnsServerOptions extends Partial<ZoneOptions> {
  readonly client: Client;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** 53 unless told; 0: any free port. */
  readonly port?: number;
  /** Both families' wildcards unless told. */
  readonly addresses?: readonly string[];
  /** Who is asked about names outside of the cluster; nobody unless told. */
  readonly upstreams?: readonly Upstream[];
  /** How long one of them may take; 2000 unless told. */
  readonly upstreamTimeoutMs?: number;
  /** Upstream answers are kept for at most this long; 30 unless told, 0 for never. */
  readonly cacheSeconds?: number;
  /** CoreDNS's 8080, 8181 and 9153 are for the caller to give; none unless told. */
  readonly statusPorts?: StatusPorts;
}

export interface DnsServer {
  readonly port: number;
  readonly statusPorts: StatusPorts;
  /** Resolves once the cluster's names are known; before that they are answered with SERVFAIL. */
  readonly synced: Promise<void>;
  /** `/ready` says no from now on, and all goes on being answered: for the time until clients have been led elsewhere. */
  leave(): void;
  close(): Promise<void>;
}

/** Serves at once; the returned promise resolves when all sockets are open. */
export async function startDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const { client, logger, clock = systemClock } = options;
  const abort = new AbortController();
  const index = new ZoneIndex(Math.floor(clock.now() / 1000));
  const clusterDomain = lowerName(options.clusterDomain ?? "cluster.local").replace(/\.$/, "");
  const zones = {
    index,
    names: [clusterDomain, ...REVERSE_ZONES],
    options: {
      clusterDomain,
      ttlSeconds: options.ttlSeconds ?? 5,
      pods: options.pods ?? "insecure",
      dnsService: options.dnsService ?? { namespace: "kube-system", name: "kube-dns" },
    },
  };
  const metrics = new DnsMetrics(options.port ?? 53);
  const forwarder = new Forwarder({
    upstreams: options.upstreams ?? [],
    clock,
    logger,
    timeoutMs: options.upstreamTimeoutMs ?? 2000,
    onReply: (to, rcode, seconds) => metrics.upstreamReply(to, rcode, seconds),
  });
  const cache = new AnswerCache({ maxTtlSeconds: options.cacheSeconds ?? 30, maxEntries: 10_000 });
  const onProgrammed = (seconds: number): void => metrics.programmed(seconds);
  const following = follow({ client, index, clock, logger, signal: abort.signal, onProgrammed });
  const handler = new DnsHandler({ zones, hasSynced: () => following.hasSynced(), forwarder, cache, metrics, clock, logger });
  let leaving = false;
  try {
    const listeners = await listen({ handler, logger, addresses: options.addresses ?? ["0.0.0.0", "::"], port: options.port ?? 53 });
    const pages = await serveStatusPages(
      options.statusPorts ?? {},
      () => following.hasSynced() && !leaving,
      () => metrics.format(cache.sizes()),
    ).catch(async (err: unknown) => {
      await listeners.close();
      throw err;
    });
    logger.info("serving DNS", { domain: clusterDomain, on: listeners.endpoints });
    const close = async (): Promise<void> => {
      abort.abort();
      forwarder.close();
      pages.close();
      await listeners.close();
    };
    const leave = (): void => {
      leaving = true;
    };
    return { port: listeners.port, statusPorts: pages.ports, synced: following.synced, leave, close };
  } catch (err) {
    abort.abort();
    forwarder.close();
    throw err;
  }
}
