// Services and their EndpointSlices to frontends. Pure, and per Service: a change of one compiles one.
import type { Service, ServicePort, ServiceSpec } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, formatAddr, type Prefix, tryParseAddr } from "#ip";
import { SCTP, TCP, UDP } from "#nft";
import { endpointProblems, externalAddrs, sourceRanges } from "./addresses.ts";
import { clusterEndpoints, endpointsOf, hasAny, localEndpoints, type ResolvedEndpoint, readyHere } from "./endpoints.ts";
import type { Backend, CompiledService, Frontend, FrontendKind, ProxyNode, ServiceProblem } from "./types.ts";

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
  const clusterIps = (spec.clusterIPs ?? [spec.clusterIP ?? ""]).flatMap((text) => tryParseAddr(text) ?? []);
  const all = [...slices];
  const external = externalAddrs(service, new Set(clusterIps.map(({ family }) => family)));
  const ranges = sourceRanges(service, node, external.addrs);
  const unusable = new Map<string, Addr>();
  const frontends = new Map<string, Frontend>();
  const add = (made: Frontend): void => {
    // One address may be given twice: as the load balancer's and as an external one.
    if (!frontends.has(made.key)) frontends.set(made.key, made);
  };
  for (const port of distinctPorts(spec)) {
    for (const addr of clusterIps) {
      const { family } = addr;
      const choices = new Choices(endpointsOf(all, port, { family, node, unusable }), node);
      const of = { service, port, choices, sources: ranges.of(family) };
      add(frontend({ ...of, kind: "ClusterIP", addr, number: port.port }));
      const hasNodePort = (spec.type === "NodePort" || spec.type === "LoadBalancer") && port.nodePort !== undefined && port.nodePort > 0;
      for (const nodeAddr of hasNodePort ? nodePortAddresses(node) : []) {
        if (nodeAddr.family === family) add(frontend({ ...of, kind: "NodePort", addr: nodeAddr, number: port.nodePort ?? 0 }));
      }
      for (const each of external.addrs) {
        if (each.addr.family === family) add(frontend({ ...of, ...each, number: port.port }));
      }
    }
  }
  const port = spec.healthCheckNodePort ?? 0;
  const isChecked = spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local" && port > 0;
  const problems = [...portProblems(spec), ...external.problems, ...ranges.problems, ...endpointProblems([...unusable.values()])];
  return {
    frontends: [...frontends.values()],
    ...(problems.length > 0 && { problems }),
    ...(isChecked && { healthCheck: { port, localEndpoints: readyHere(all, node) } }),
  };
}

export function nodePortAddresses(node: ProxyNode): readonly Addr[] {
  return node.nodePortAddresses ?? node.addresses;
}

const portId = ({ port, protocol }: ServicePort): string => `${protocol ?? "TCP"} ${port}`;

/** Of two that clients could not tell apart the first counts. */
function distinctPorts({ ports = [] }: ServiceSpec): ServicePort[] {
  return [...new Map(ports.toReversed().map((port) => [portId(port), port])).values()].reverse();
}

function portProblems({ ports = [] }: ServiceSpec): ServiceProblem[] {
  return ports.flatMap((port, i): ServiceProblem[] => {
    const first = ports.findIndex((other) => portId(other) === portId(port));
    if (first === i) return [];
    return [{ reason: "DuplicatePort", message: `spec.ports[${i}] is not used: spec.ports[${first}] has ${portId(port)} already` }];
  });
}

interface FrontendInput {
  readonly service: Service;
  readonly port: ServicePort;
  readonly kind: FrontendKind;
  readonly addr: Addr;
  readonly number: number;
  readonly choices: Choices;
  readonly sources: readonly Prefix[] | undefined;
}

interface Choice {
  readonly backends: readonly Backend[];
  readonly draining: readonly Backend[];
}

/** What a policy makes of the endpoints of a service port: the same lists for all frontends that have the policy. */
class Choices {
  readonly #endpoints: readonly ResolvedEndpoint[];
  readonly #node: ProxyNode;
  #cluster: Choice | undefined;
  #local: Choice | undefined;

  constructor(endpoints: readonly ResolvedEndpoint[], node: ProxyNode) {
    this.#endpoints = endpoints;
    this.#node = node;
  }

  get cluster(): Choice {
    this.#cluster ??= this.#choose(clusterEndpoints(this.#endpoints, this.#node));
    return this.#cluster;
  }

  get local(): Choice {
    this.#local ??= this.#choose(localEndpoints(this.#endpoints, this.#node));
    return this.#local;
  }

  get hasAny(): boolean {
    return hasAny(this.#endpoints);
  }

  #choose(endpoints: readonly ResolvedEndpoint[]): Choice {
    const chosen = new Set(endpoints);
    const draining = this.#endpoints.filter((endpoint) => endpoint.serving && !chosen.has(endpoint));
    return { backends: listOf(endpoints), draining: listOf(draining) };
  }
}

const NOBODY: readonly Backend[] = [];

function listOf(endpoints: readonly ResolvedEndpoint[]): readonly Backend[] {
  return endpoints.length === 0 ? NOBODY : endpoints.map(({ backend }) => backend);
}

function frontend({ service, port, kind, addr, number, choices, sources }: FrontendInput): Frontend {
  const { metadata, spec } = service;
  const protocol = PROTOCOLS[port.protocol ?? "TCP"] ?? TCP;
  const provenance = `${metadata?.namespace}/${metadata?.name}:${port.name ?? port.port}`;
  const isLocal = (kind === "ClusterIP" ? spec?.internalTrafficPolicy : spec?.externalTrafficPolicy) === "Local";
  const { backends, draining } = isLocal ? choices.local : choices.cluster;
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
    ...(isLocal && { policy: "Local" }),
    backends,
    ...(isLocal && kind !== "ClusterIP" && { inside: choices.cluster.backends }),
    draining,
    // None anywhere is an answer (refused); none here, with policy Local, is not (KEP-2086).
    whenEmpty: isLocal && choices.hasAny ? "drop" : "reject",
    ...(kind === "LoadBalancer" && sources !== undefined && { sources }),
    ...(affinitySeconds !== undefined && { affinitySeconds }),
  };
}

export function frontendKey(addr: Addr, protocol: number, port: number): string {
  return `${formatAddr(addr)} ${protocol} ${port}`;
}
