// What this node does for one Service, and why: for people. Whether a backend is in is asked of the functions that decide it.
import type { Service, ServicePort } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { formatAddr, formatAddrPort, formatPrefix, tryParseAddr } from "#ip";
import type { ConntrackEntry } from "#linux";
import { SCTP, TCP, UDP } from "#nft";
import { frontendKey } from "./compile.ts";
import type { Affinity, ProxyMode } from "./dataplane.ts";
import { clusterEndpoints, endpointsOf, localEndpoints, type ResolvedEndpoint } from "./endpoints.ts";
import type { CompiledService, Frontend, FrontendKind, ProxyNode } from "./types.ts";

const PROTOCOL_NAMES: Readonly<Record<number, string>> = { [TCP]: "TCP", [UDP]: "UDP", [SCTP]: "SCTP" };

interface FrontendReport {
  readonly kind: FrontendKind;
  /** `address:port`. */
  readonly address: string;
  readonly protocol: string;
  /** `addr:port` of who gets new connections; with policy Local those from outside. */
  readonly backends: readonly string[];
  /** With externalTrafficPolicy Local: who gets those of pods and the node itself. */
  readonly inside?: readonly string[];
  readonly whenEmpty: "reject" | "drop";
  readonly sources?: readonly string[];
  readonly affinitySeconds?: number;
  /** The Service that has this address and port instead. */
  readonly lostTo?: string;
}

interface BackendReport {
  /** Name or number of the service port. */
  readonly servicePort: string;
  /** `addr:port`. */
  readonly id: string;
  readonly node?: string;
  /** The pod, or what else the endpoint stands for. */
  readonly target?: string;
  readonly state: "ready" | "not ready" | "terminating, serving" | "terminating";
  /** For traffic that any endpoint may serve. */
  readonly cluster: Verdict;
  /** For traffic that only endpoints of this node may serve; absent where the Service has no policy Local. */
  readonly local?: Verdict;
}

interface Verdict {
  readonly in: boolean;
  readonly why: string;
}

interface FlowReport {
  readonly protocol: string;
  readonly client: string;
  readonly frontend: string;
  /** `addr:port` of who answers. */
  readonly backend: string;
  /** Until conntrack forgets it, if nothing more comes. */
  readonly timeoutSeconds: number;
}

export interface ServiceReport {
  readonly node: string;
  readonly mode: ProxyMode;
  /** `namespace/name`. */
  readonly service: string;
  readonly frontends: readonly FrontendReport[];
  readonly backends: readonly BackendReport[];
  readonly affinities: readonly {
    readonly client: string;
    readonly frontend: string;
    readonly backend: string;
    readonly expiresMs?: number;
  }[];
  readonly flows: readonly FlowReport[];
  readonly healthCheck?: CompiledService["healthCheck"];
  /** What was left out, and why. */
  readonly problems: readonly string[];
}

export interface InspectInput {
  readonly node: ProxyNode;
  readonly mode: ProxyMode;
  readonly service: Service;
  readonly slices: Iterable<EndpointSlice>;
  readonly compiled: CompiledService;
  /** Who has a frontend's address and port. */
  readonly holderOf: (key: string) => Frontend | undefined;
  readonly affinities: readonly Affinity[];
  readonly entries: readonly ConntrackEntry[];
}

export function inspectService(input: InspectInput): ServiceReport {
  const { node, mode, service, compiled } = input;
  const own = new Set(
    compiled.frontends.filter((frontend) => input.holderOf(frontend.key)?.service === frontend.service).map(({ key }) => key),
  );
  return {
    node: node.name,
    mode,
    service: `${service.metadata?.namespace}/${service.metadata?.name}`,
    frontends: compiled.frontends.map((frontend) => reportFrontend(frontend, input.holderOf(frontend.key))),
    backends: reportBackends(input),
    affinities: input.affinities
      .filter(({ frontend }) => own.has(frontend))
      .map(({ client, frontend, ...rest }) => ({ client: formatAddr(client), frontend: addressIn(frontend), ...rest })),
    flows: input.entries.filter(({ original: { dst, protocol, dstPort } }) => own.has(frontendKey(dst, protocol, dstPort))).map(reportFlow),
    ...(compiled.healthCheck && { healthCheck: compiled.healthCheck }),
    problems: (compiled.problems ?? []).map(({ message }) => message),
  };
}

function reportFrontend(frontend: Frontend, holder: Frontend | undefined): FrontendReport {
  const { kind, addr, port, protocol, backends, inside, whenEmpty, sources, affinitySeconds } = frontend;
  return {
    kind,
    address: formatAddrPort(addr, port),
    protocol: PROTOCOL_NAMES[protocol] ?? String(protocol),
    backends: backends.map(({ id }) => id),
    ...(inside && { inside: inside.map(({ id }) => id) }),
    whenEmpty,
    ...(sources && { sources: sources.map(formatPrefix) }),
    ...(affinitySeconds !== undefined && { affinitySeconds }),
    ...(holder !== undefined && holder.service !== frontend.service && { lostTo: holder.service }),
  };
}

function reportBackends({ service, slices, node }: InspectInput): BackendReport[] {
  const all = [...slices];
  const { spec = {} } = service;
  const targets = targetsIn(all);
  const hasLocal = spec.internalTrafficPolicy === "Local" || spec.externalTrafficPolicy === "Local";
  return (spec.ports ?? []).flatMap((port) =>
    ([4, 6] as const).flatMap((family) => {
      const endpoints = endpointsOf(all, port, { family, node });
      const cluster = new Set(clusterEndpoints(endpoints, node));
      const local = new Set(localEndpoints(endpoints, node));
      return endpoints.map(
        (endpoint): BackendReport => ({
          servicePort: portName(port),
          id: endpoint.backend.id,
          ...(endpoint.nodeName !== undefined && { node: endpoint.nodeName }),
          ...targets.get(formatAddr(endpoint.backend.addr)),
          state: stateOf(endpoint),
          cluster: { in: cluster.has(endpoint), why: whyCluster(endpoint, cluster, node) },
          ...(hasLocal && { local: { in: local.has(endpoint), why: whyLocal(endpoint, local, node) } }),
        }),
      );
    }),
  );
}

function targetsIn(slices: readonly EndpointSlice[]): Map<string, { readonly target: string }> {
  const endpoints = slices.flatMap((slice) => slice.endpoints ?? []);
  return new Map(
    endpoints.flatMap(({ addresses, targetRef }) => {
      const addr = tryParseAddr(addresses[0] ?? "");
      return addr === undefined || targetRef?.name === undefined ? [] : [[formatAddr(addr), { target: targetRef.name }] as const];
    }),
  );
}

function portName({ name, port }: ServicePort): string {
  return name ?? String(port);
}

function stateOf({ ready, serving, terminating }: ResolvedEndpoint): BackendReport["state"] {
  if (ready) return "ready";
  if (!terminating) return "not ready";
  return serving ? "terminating, serving" : "terminating";
}

function whyCluster(endpoint: ResolvedEndpoint, chosen: ReadonlySet<ResolvedEndpoint>, node: ProxyNode): string {
  const hints = hintOf(endpoint);
  if (!chosen.has(endpoint))
    return endpoint.ready ? `meant for ${hints}, and this is ${placeOf(node)}` : whyNotReady(endpoint, "no endpoint");
  if (!endpoint.ready) return "terminates and still serves; no endpoint is ready";
  if (hints === "") return "ready";
  const isMeant = endpoint.nodes.includes(node.name) || (node.zone !== undefined && endpoint.zones.includes(node.zone));
  return isMeant ? `ready, and meant for ${hints}` : `ready; meant for ${hints}, which does not count here`;
}

function whyLocal(endpoint: ResolvedEndpoint, chosen: ReadonlySet<ResolvedEndpoint>, node: ProxyNode): string {
  if (endpoint.nodeName !== node.name) return endpoint.nodeName === undefined ? "on no known node" : `on ${endpoint.nodeName}`;
  if (!chosen.has(endpoint)) return whyNotReady(endpoint, "none of this node");
  return endpoint.ready ? "ready, on this node" : "terminates and still serves; none of this node is ready";
}

function whyNotReady({ serving, terminating }: ResolvedEndpoint, none: string): string {
  if (!terminating) return "not ready";
  return serving ? `terminates; it would serve if ${none} were ready` : "terminates, and does not serve";
}

function hintOf({ nodes, zones }: ResolvedEndpoint): string {
  const parts = [nodes.length > 0 ? `node ${nodes.join(", ")}` : "", zones.length > 0 ? `zone ${zones.join(", ")}` : ""];
  return parts.filter((part) => part !== "").join(" and ");
}

function placeOf({ name, zone }: ProxyNode): string {
  return zone === undefined ? name : `${name} in zone ${zone}`;
}

function reportFlow({ original, reply, timeoutSeconds }: ConntrackEntry): FlowReport {
  return {
    protocol: PROTOCOL_NAMES[original.protocol] ?? String(original.protocol),
    client: formatAddrPort(original.src, original.srcPort),
    frontend: formatAddrPort(original.dst, original.dstPort),
    backend: formatAddrPort(reply.src, reply.srcPort),
    timeoutSeconds,
  };
}

/** `addr protocol port` as `addr:port`. */
function addressIn(key: string): string {
  const [addr = "", , port = ""] = key.split(" ");
  return addr.includes(":") ? `[${addr}]:${port}` : `${addr}:${port}`;
}
