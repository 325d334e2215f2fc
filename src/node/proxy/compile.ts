// Services and their EndpointSlices to frontends. Pure, and per Service: a change of one compiles one.
import type { Service, ServicePort } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, type Family, formatAddr, formatAddrPort, tryParseAddr } from "#ip";
import { SCTP, TCP, UDP } from "#nft";
import type { Backend, Frontend, FrontendKind, ProxyNode } from "./types.ts";

/** Services with this label belong to another proxy; with this one they are headless whatever their clusterIP says (k/k pkg/proxy/apis). */
const OTHER_PROXY = "service.kubernetes.io/service-proxy-name";
const HEADLESS = "service.kubernetes.io/headless";

const PROTOCOLS: Readonly<Record<string, number>> = { TCP, UDP, SCTP };

/** The API's default of `sessionAffinityConfig.clientIP.timeoutSeconds`. */
const AFFINITY_SECONDS = 10_800;

/** nft shows 127 bytes of a comment. */
const COMMENT_CHARS = 127;

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

export function compileService({ service, slices, node }: CompileInput): Frontend[] {
  if (!isProxied(service)) return [];
  const { spec = {} } = service;
  const clusterIps = (spec.clusterIPs ?? [spec.clusterIP ?? ""]).flatMap((text) => tryParseAddr(text) ?? []);
  const all = [...slices];
  const frontends: Frontend[] = [];
  for (const port of spec.ports ?? []) {
    for (const addr of clusterIps) {
      const endpoints = endpointsOf(all, port, addr.family);
      frontends.push(frontend({ service, port, node, kind: "ClusterIP", addr, number: port.port, endpoints }));
      const hasNodePort = (spec.type === "NodePort" || spec.type === "LoadBalancer") && port.nodePort !== undefined && port.nodePort > 0;
      for (const nodeAddr of hasNodePort ? node.addresses : []) {
        if (nodeAddr.family !== addr.family) continue;
        frontends.push(frontend({ service, port, node, kind: "NodePort", addr: nodeAddr, number: port.nodePort ?? 0, endpoints }));
      }
    }
  }
  return frontends;
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
  const provenance = `${metadata?.namespace}/${metadata?.name}:${port.name ?? port.port}`.slice(0, COMMENT_CHARS);
  const onlyLocal = kind === "ClusterIP" && spec?.internalTrafficPolicy === "Local";
  const { backends, draining } = choose(endpoints, node, onlyLocal);
  const affinitySeconds =
    spec?.sessionAffinity === "ClientIP" ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS) : undefined;
  return {
    key: frontendKey(addr, protocol, number),
    kind,
    family: addr.family,
    addr,
    protocol,
    port: number,
    service: provenance,
    since: metadata?.creationTimestamp ?? "",
    backends,
    draining,
    // None anywhere is an answer (refused); none here, with policy Local, is not (KEP-2086).
    whenEmpty: onlyLocal && endpoints.some(({ serving }) => serving) ? "drop" : "reject",
    ...(affinitySeconds !== undefined && { affinitySeconds }),
  };
}

export function frontendKey(addr: Addr, protocol: number, port: number): string {
  return `${formatAddr(addr)} ${protocol} ${port}`;
}

interface ResolvedEndpoint {
  readonly addr: Addr;
  readonly port: number;
  readonly nodeName: string | undefined;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

/** All endpoints of a service port in one family, each once, in the order of their addresses. */
function endpointsOf(slices: readonly EndpointSlice[], port: ServicePort, family: Family): ResolvedEndpoint[] {
  const found = new Map<string, ResolvedEndpoint>();
  for (const slice of slices) {
    if (slice.addressType !== (family === 4 ? "IPv4" : "IPv6")) continue;
    // No ports means none; a port without a number means "all ports", which a service port cannot be mapped to.
    const number = (slice.ports ?? []).find(
      (p) => (p.name ?? "") === (port.name ?? "") && (p.protocol ?? "TCP") === (port.protocol ?? "TCP"),
    )?.port;
    if (number === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) addEndpoint(found, endpoint, number);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

function addEndpoint(found: Map<string, ResolvedEndpoint>, endpoint: Endpoint, port: number): void {
  // Several addresses are fungible, and consumers may take the first (discovery.k8s.io/v1 Endpoint).
  const addr = tryParseAddr(endpoint.addresses[0] ?? "");
  if (addr === undefined) return;
  const ready = endpoint.conditions?.ready ?? true;
  const resolved = {
    addr,
    port,
    nodeName: endpoint.nodeName,
    ready,
    serving: endpoint.conditions?.serving ?? ready,
    terminating: endpoint.conditions?.terminating ?? false,
  };
  const id = formatAddrPort(addr, port);
  // While an endpoint moves between slices both have it; the better news is the newer.
  if (found.get(id)?.ready !== true) found.set(id, resolved);
}

/** Ready endpoints; only where there are none, those that terminate and still serve (KEP-1669). */
function choose(
  endpoints: readonly ResolvedEndpoint[],
  node: ProxyNode,
  onlyLocal: boolean,
): { readonly backends: readonly Backend[]; readonly draining: readonly Backend[] } {
  const candidates = onlyLocal ? endpoints.filter(({ nodeName }) => nodeName === node.name) : endpoints;
  const ready = candidates.filter((endpoint) => endpoint.ready);
  const chosen = ready.length > 0 ? ready : candidates.filter(({ serving, terminating }) => serving && terminating);
  const rest = endpoints.filter((endpoint) => endpoint.serving && !chosen.includes(endpoint));
  const backend = ({ addr, port, nodeName }: ResolvedEndpoint): Backend => ({
    addr,
    port,
    id: formatAddrPort(addr, port),
    local: nodeName === undefined || nodeName === node.name,
  });
  return { backends: chosen.map(backend), draining: rest.map(backend) };
}
