// What a cluster has from its first moment: the system namespaces, and the Service `kubernetes` with this server behind it.
// After `pkg/controlplane/controller/{systemnamespaces,kubernetesservice}` and `pkg/controlplane/reconcilers`.
import type { Endpoints, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { errorMessage, type Logger } from "#base";
import { type Addr, formatAddr, formatPrefix, nthAddr, type Prefix } from "#ip";
import { ENDPOINT_SLICES, ENDPOINTS, formatKey, type KubeObject, NAMESPACES, type Resource, SERVICE_CIDRS, SERVICES } from "#kube";
import { applyDefaults } from "#kube/schema";
import { headObject } from "./registry/access.ts";
import { createObject } from "./registry/create.ts";
import type { Registry } from "./registry/types.ts";
import { updateObject } from "./registry/update.ts";
import type { ApiObject } from "./registry/version.ts";
import { SYSTEM_USER, WriteInProgress } from "./registry/write.ts";
import { DEFAULT_SERVICE_CIDR, setReady } from "./services/service-cidrs.ts";

const SYSTEM_NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];
const NAMESPACE = "default";
const NAME = "kubernetes";
const LABELS = { component: "apiserver", provider: "kubernetes" };

export interface BootstrapOptions {
  readonly serviceCidrs: readonly Prefix[];
  /** Where pods reach this server. */
  readonly advertised: readonly Addr[];
  readonly port: number;
}

export async function bootstrap(registry: Registry, options: BootstrapOptions): Promise<void> {
  await Promise.all([
    ...SYSTEM_NAMESPACES.map((name) => ensure(registry, NAMESPACES, { metadata: { name } })),
    ensure(registry, SERVICES, kubernetesService(options)),
    ensureServiceCidr(registry, options.serviceCidrs),
    ...kubernetesSlices(options).map((slice) => ensure(registry, ENDPOINT_SLICES, slice, true)),
    ensure(registry, ENDPOINTS, kubernetesEndpoints(options), true),
  ]);
}

/** What `bootstrap` made and somebody deletes is made again: without it no pod finds this server. Returns what ends that. */
export function keepBootstrapped(registry: Registry, options: BootstrapOptions, logger: Logger): () => void {
  const ours = new Set([DEFAULT_SERVICE_CIDR, ...["", "-ipv4", "-ipv6"].map((suffix) => `${NAMESPACE}/${NAME}${suffix}`)]);
  const ends = [SERVICES, ENDPOINT_SLICES, ENDPOINTS, SERVICE_CIDRS].map((resource) =>
    registry.store.watch(registry.served(resource as Resource).table, {
      after: registry.store.revision,
      listener: (events) => {
        if (!events.some((event) => event.type === "delete" && ours.has(event.key))) return;
        // Who deletes has its addresses given back right after this.
        setImmediate(() => {
          bootstrap(registry, options).catch((err: unknown) => {
            logger.warn("cannot make the Service kubernetes again", { err: errorMessage(err) });
          });
        });
      },
    }),
  );
  return () => {
    for (const end of ends) end();
  };
}

/** Creates the object unless it is there; with `replace` makes one that is there equal. */
async function ensure<T extends KubeObject>(registry: Registry, resource: Resource<T>, wanted: T, replace = false): Promise<void> {
  const served = registry.served(resource);
  const object = { apiVersion: "", kind: "", ...structuredClone(wanted) } as unknown as ApiObject;
  object.apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
  object.kind = resource.kind;
  applyDefaults(resource, object);
  const write = new WriteInProgress(registry, { user: SYSTEM_USER, dryRun: false, warnings: [] });
  const { namespace, name } = object.metadata;
  const exists = registry.store.head(served.table, formatKey({ namespace, name })) !== undefined;
  if (!exists) await createObject(registry, served, object, write);
  else if (replace)
    await updateObject(registry, served, { key: { namespace, name }, part: "main", wanted: () => structuredClone(object) }, write);
}

/** What `kubectl get servicecidr` shows of the ranges, ready from the start. */
async function ensureServiceCidr(registry: Registry, serviceCidrs: readonly Prefix[]): Promise<void> {
  if (serviceCidrs.length === 0) return;
  const key = { name: DEFAULT_SERVICE_CIDR };
  await ensure(registry, SERVICE_CIDRS, { metadata: key, spec: { cidrs: serviceCidrs.map(formatPrefix) } });
  if (headObject(registry, SERVICE_CIDRS, key)?.status?.conditions?.some(({ type }) => type === "Ready") === true) return;
  await setReady(registry, DEFAULT_SERVICE_CIDR, true);
}

function kubernetesService({ serviceCidrs, port }: BootstrapOptions): Service {
  const clusterIPs = serviceCidrs.map((prefix) => formatAddr(nthAddr(prefix, 1)));
  return {
    metadata: { name: NAME, namespace: NAMESPACE, labels: LABELS },
    spec: {
      type: "ClusterIP",
      clusterIPs,
      ...(clusterIPs[0] === undefined ? {} : { clusterIP: clusterIPs[0] }),
      ipFamilyPolicy: clusterIPs.length > 1 ? "RequireDualStack" : "SingleStack",
      sessionAffinity: "None",
      ports: [{ name: "https", protocol: "TCP", port: 443, targetPort: port }],
    },
  };
}

/** Endpoints are of one family, the Service's first. */
function kubernetesEndpoints({ serviceCidrs, advertised, port }: BootstrapOptions): Endpoints {
  const family = serviceCidrs[0]?.addr.family;
  const addresses = advertised.filter((addr) => addr.family === family).map((addr) => ({ ip: formatAddr(addr) }));
  return {
    // The slices below are ours; nobody is to mirror these Endpoints into further ones.
    metadata: { name: NAME, namespace: NAMESPACE, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    ...(addresses.length === 0 ? {} : { subsets: [{ addresses, ports: [{ name: "https", port, protocol: "TCP" }] }] }),
  };
}

function kubernetesSlices({ serviceCidrs, advertised, port }: BootstrapOptions): EndpointSlice[] {
  return serviceCidrs.flatMap(({ addr: { family } }, i) => {
    const addresses = advertised.filter((addr) => addr.family === family).map(formatAddr);
    if (addresses.length === 0) return [];
    return {
      metadata: {
        name: i === 0 ? NAME : `${NAME}-ipv${family}`,
        namespace: NAMESPACE,
        labels: { "kubernetes.io/service-name": NAME },
      },
      addressType: `IPv${family}`,
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
      ports: [{ name: "https", port, protocol: "TCP" }],
    };
  });
}
