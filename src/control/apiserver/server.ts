import { type Clock, type Logger, systemClock } from "#base";
import { type Addr, type AddrPort, formatAddrPort, type Prefix } from "#ip";
import type { Store } from "#store";
import { Authenticator } from "./auth/authenticate.ts";
import { ServiceAccountTokens } from "./auth/service-account-tokens.ts";
import { bootstrap, keepBootstrapped } from "./bootstrap.ts";
import { Catalog } from "./catalog.ts";
import { Documents } from "./discovery/documents.ts";
import { Dispatcher } from "./dispatch.ts";
import { listen, type TlsFiles } from "./http/listen.ts";
import type { Registry, User } from "./registry/types.ts";
import type { ObjectVersion } from "./registry/version.ts";
import type { PortRange } from "./services/port-allocator.ts";
import { followServiceCidrs, loadServiceCidrs } from "./services/service-cidrs.ts";
import { ServiceStrategy } from "./services/strategy.ts";
import { Watches } from "./watch/watches.ts";

export interface ApiServerOptions {
  readonly store: Store<ObjectVersion>;
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly tls: TlsFiles;
  readonly addresses: readonly AddrPort[];
  readonly unixSocket?: string | undefined;
  /** By token. */
  readonly tokens: ReadonlyMap<string, User>;
  /** PEM of the ECDSA P-256 key that signs service account tokens. */
  readonly serviceAccountKey: string;
  readonly kubeletToken: string;
  readonly clusterDomain: string;
  /** One per family, the default family first. */
  readonly serviceCidrs: readonly Prefix[];
  readonly nodePorts: PortRange;
  /** The addresses behind the Service `kubernetes`; the port is the first listening address's. */
  readonly advertised: readonly Addr[];
}

export interface ApiServer {
  readonly addresses: readonly AddrPort[];
  /** Ends watches and connections; the store stays open. */
  close(): Promise<void>;
}

// Behind the Service where the listening port is chosen late (tests) or there is only a socket.
const DEFAULT_PORT = 6443;

/** Serves the Kubernetes API over `store`; resolves once it accepts connections and the system's own objects are there. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { store, logger } = options;
  const clock = options.clock ?? systemClock;
  const services = new ServiceStrategy({ serviceCidrs: options.serviceCidrs, nodePorts: options.nodePorts });
  const catalog = new Catalog({ services });
  const registry: Registry = { store, clock, logger, served: (resource) => catalog.get(resource) };
  loadServiceCidrs(registry, services.addresses);
  services.rebuild(registry);
  const port = options.addresses[0]?.port || DEFAULT_PORT;
  const ownObjects = { serviceCidrs: options.serviceCidrs, advertised: options.advertised, port };
  await bootstrap(registry, ownObjects);
  const stopKeeping = keepBootstrapped(registry, ownObjects, logger);
  const stopFollowing = followServiceCidrs(registry, services.addresses, logger);

  const serviceAccounts = new ServiceAccountTokens(options.serviceAccountKey, options.clusterDomain, clock);
  const authenticator = new Authenticator({ tokens: options.tokens, serviceAccounts, registry });
  const watches = new Watches(store);
  const [first] = options.advertised;
  const serverAddress = first === undefined ? "" : formatAddrPort(first, port);
  const documents = new Documents({ resources: catalog.resources, groupVersions: catalog.groupVersions(), serverAddress });
  const dispatcher = new Dispatcher({
    registry,
    catalog,
    documents,
    authenticator,
    serviceAccounts,
    watches,
    kubeletToken: options.kubeletToken,
  });
  const listener = await listen({
    ...options.tls,
    addresses: options.addresses,
    unixSocket: options.unixSocket,
    onRequest: (req, res) => void dispatcher.request(req, res),
    onUpgrade: (req, socket, head) => void dispatcher.upgrade(req, socket, head),
  });
  return {
    addresses: listener.addresses,
    async close() {
      stopKeeping();
      stopFollowing();
      watches.close();
      await listener.close();
    },
  };
}
