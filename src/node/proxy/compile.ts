// Services and their EndpointSlices to frontends. Pure, and per Service: a change of one compiles one.
import type { Service, ServicePort } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, formatAddr, tryParseAddr } from "#ip";
import { SCTP, TCP, UDP } from "#nft";
import { clusterEndpoints, endpointsOf, hasAny, localEndpoints, type ResolvedEndpoint } from "./endpoints.ts";
import type { Frontend, FrontendKind, ProxyNode } from "./types.ts";

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
      const endpoints = endpointsOf(all, port, { family: addr.family, node });
      const of = { service, port, node, endpoints };
      frontends.push(frontend({ ...of, kind: "ClusterIP", addr, number: port.port }));
      const hasNodePort = (spec.type === "NodePort" || spec.type === "LoadBalancer") && port.nodePort !== undefined && port.nodePort > 0;
      for (const nodeAddr of hasNodePort ? node.addresses : []) {
        if (nodeAddr.family !== addr.family) continue;
        frontends.push(frontend({ ...of, kind: "NodePort", addr: nodeAddr, number: port.nodePort ?? 0 }));
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
  const isLocal = (kind === "ClusterIP" ? spec?.internalTrafficPolicy : spec?.externalTrafficPolicy) === "Local";
  const backends = isLocal ? localEndpoints(endpoints, node) : clusterEndpoints(endpoints, node);
  const chosen = new Set(backends);
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
    ...(isLocal && kind !== "ClusterIP" && { inside: clusterEndpoints(endpoints, node) }),
    draining: endpoints.filter((endpoint) => endpoint.serving && !chosen.has(endpoint)),
    // None anywhere is an answer (refused); none here, with policy Local, is not (KEP-2086).
    whenEmpty: isLocal && hasAny(endpoints) ? "drop" : "reject",
    ...(affinitySeconds !== undefined && { affinitySeconds }),
  };
}

export function frontendKey(addr: Addr, protocol: number, port: number): string {
  return `${formatAddr(addr)} ${protocol} ${port}`;
}
