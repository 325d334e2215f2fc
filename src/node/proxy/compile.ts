// Services and their EndpointSlices to frontends. Pure, and per Service: a change of one compiles one.
import type { Service, ServicePort } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, type Family, formatAddr, hostPrefix, type Prefix, prefixContains, tryParseAddr, tryParsePrefix } from "#ip";
import { SCTP, TCP, UDP } from "#nft";
import { clusterEndpoints, endpointsOf, hasAny, localEndpoints, type ResolvedEndpoint, readyHere } from "./endpoints.ts";
import type { CompiledService, Frontend, FrontendKind, ProxyNode } from "./types.ts";

/** Services with this label belong to another proxy; with this one they are headless whatever their clusterIP says (k/k pkg/proxy/apis). */
const OTHER_PROXY = "service.kubernetes.io/service-proxy-name";
const HEADLESS = "service.kubernetes.io/headless";

const PROTOCOLS: Readonly<Record<string, number>> = { TCP, UDP, SCTP };

/** The API's default of `sessionAffinityConfig.clientIP.timeoutSeconds`. */
const AFFINITY_SECONDS = 10_800;

export interface CompileInput {
  readonly service: Service;
  readonly slices: Iterable<EndpointSlice>;
  readonly node: ProxyNode;
}

/** Whether the proxy has anything to do with the Service. */
function isProxied(service: Service): boolean {
  const labels = service.metadata?.labels ?? {};
  if (OTHER_PROXY in labels || HEADLESS in labels) return false;
  const { type, clusterIP } = service.spec ?? {};
  return type !== "ExternalName" && clusterIP !== undefined && clusterIP !== "" && clusterIP !== "None";
}

export function compileService({ service, slices, node }: CompileInput): CompiledService {
  if (!isProxied(service)) return { frontends: [] };
  const { spec = {} } = service;
  const clusterIps = parseAll(spec.clusterIPs ?? [spec.clusterIP ?? ""]);
  const all = [...slices];
  const external = externalAddrs(service);
  const frontends = new Map<string, Frontend>();
  const add = (made: Frontend): void => {
    // One address may be given twice: as the load balancer's and as an external one.
    if (!frontends.has(made.key)) frontends.set(made.key, made);
  };
  for (const port of spec.ports ?? []) {
    for (const addr of clusterIps) {
      const { family } = addr;
      const of = { service, port, node, endpoints: endpointsOf(all, port, { family, node }) };
      add(frontend({ ...of, kind: "ClusterIP", addr, number: port.port }));
      const hasNodePort = (spec.type === "NodePort" || spec.type === "LoadBalancer") && port.nodePort !== undefined && port.nodePort > 0;
      for (const nodeAddr of hasNodePort ? node.addresses : []) {
        if (nodeAddr.family === family) add(frontend({ ...of, kind: "NodePort", addr: nodeAddr, number: port.nodePort ?? 0 }));
      }
      for (const each of external) {
        if (each.addr.family === family) add(frontend({ ...of, ...each, number: port.port }));
      }
    }
  }
  const port = spec.healthCheckNodePort ?? 0;
  const isChecked = spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local" && port > 0;
  return {
    frontends: [...frontends.values()],
    ...(isChecked && { healthCheck: { port, localEndpoints: readyHere(all, node) } }),
  };
}

function parseAll(texts: readonly string[]): Addr[] {
  return texts.flatMap((text) => tryParseAddr(text) ?? []);
}

interface ExternalAddr {
  readonly kind: "LoadBalancer" | "ExternalIP";
  readonly addr: Addr;
}

function loadBalancerAddrs({ spec, status }: Service): Addr[] {
  if (spec?.type !== "LoadBalancer") return [];
  // ipMode Proxy: the load balancer ends connections itself, and wants to see those from inside too (KEP-1860).
  const ingress = (status?.loadBalancer?.ingress ?? []).filter(({ ipMode }) => ipMode !== "Proxy");
  return parseAll(ingress.map(({ ip }) => ip ?? ""));
}

function externalAddrs(service: Service): ExternalAddr[] {
  return [
    ...loadBalancerAddrs(service).map((addr) => ({ kind: "LoadBalancer", addr }) as const),
    ...parseAll(service.spec?.externalIPs ?? []).map((addr) => ({ kind: "ExternalIP", addr }) as const),
  ];
}

/** Who may use a load balancer's addresses of one family; undefined: everybody. Ranges of the other family are not for them. */
function sourcesOf(service: Service, node: ProxyNode, family: Family): readonly Prefix[] | undefined {
  const given = (service.spec?.loadBalancerSourceRanges ?? []).flatMap((text) => tryParsePrefix(text.trim()) ?? []);
  const ranges = given.filter(({ addr }) => addr.family === family);
  if (ranges.length === 0 || ranges.some(({ bits }) => bits === 0)) return undefined;
  const hasNode = node.addresses.some((addr) => addr.family === family && ranges.some((range) => prefixContains(range, addr)));
  // Where the node holds the address itself, its packets come from there (k/k pkg/proxy/nftables, "firewall").
  const own = hasNode
    ? loadBalancerAddrs(service)
        .filter((addr) => addr.family === family)
        .map(hostPrefix)
    : [];
  const widestFirst = [...ranges, ...own].sort((a, b) => a.bits - b.bits);
  return widestFirst.filter((range, i) => !widestFirst.slice(0, i).some((wider) => prefixContains(wider, range.addr)));
}

interface FrontendInput {
  readonly service: Service;
  readonly port: ServicePort;
  readonly node: ProxyNode;
  readonly kind: FrontendKind;
  readonly addr: Addr;
  readonly number: number;
  readonly endpoints: readonly ResolvedEndpoint[];
}

function frontend({ service, port, node, kind, addr, number, endpoints }: FrontendInput): Frontend {
  const { metadata, spec } = service;
  const protocol = PROTOCOLS[port.protocol ?? "TCP"] ?? TCP;
  const provenance = `${metadata?.namespace}/${metadata?.name}:${port.name ?? port.port}`;
  const isLocal = (kind === "ClusterIP" ? spec?.internalTrafficPolicy : spec?.externalTrafficPolicy) === "Local";
  const backends = isLocal ? localEndpoints(endpoints, node) : clusterEndpoints(endpoints, node);
  const chosen = new Set(backends);
  const affinitySeconds =
    spec?.sessionAffinity === "ClientIP" ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS) : undefined;
  const sources = kind === "LoadBalancer" ? sourcesOf(service, node, addr.family) : undefined;
  return {
    key: frontendKey(addr, protocol, number),
    kind,
    family: addr.family,
    addr,
    protocol,
    port: number,
    service: provenance,
    since: metadata?.creationTimestamp ?? "",
    ...(isLocal && { policy: "Local" }),
    backends,
    ...(isLocal && kind !== "ClusterIP" && { inside: clusterEndpoints(endpoints, node) }),
    draining: endpoints.filter((endpoint) => endpoint.serving && !chosen.has(endpoint)),
    // None anywhere is an answer (refused); none here, with policy Local, is not (KEP-2086).
    whenEmpty: isLocal && hasAny(endpoints) ? "drop" : "reject",
    ...(sources !== undefined && { sources }),
    ...(affinitySeconds !== undefined && { affinitySeconds }),
  };
}

export function frontendKey(addr: Addr, protocol: number, port: number): string {
  return `${formatAddr(addr)} ${protocol} ${port}`;
}
