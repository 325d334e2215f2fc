// The endpoints of a service port, and which of them get connections. After k/k pkg/proxy/topology.go, whose outcome clients rely on.
import type { ServicePort } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, type Family, formatAddr, parseAddr, tryParseAddr } from "#ip";
import { whyUnusable } from "./addresses.ts";
import type { Backend, ProxyNode } from "./types.ts";

export interface ResolvedEndpoint {
  readonly backend: Backend;
  readonly nodeName: string | undefined;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** For whom the EndpointSlice controller means it; empty: it does not say. */
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}

/**
 * A cluster has 250,000 of them. The text of the address is the EndpointSlice's own; bytes and id would take ten times what this takes,
 * and are asked for only where a change has to be written.
 */
class EndpointBackend implements Backend {
  readonly #text: string;
  readonly port: number;
  readonly local: boolean;

  /** `text`: an address in its canonical form. */
  constructor(text: string, port: number, local: boolean) {
    this.#text = text;
    this.port = port;
    this.local = local;
  }

  get addr(): Addr {
    return parseAddr(this.#text);
  }

  get id(): string {
    return this.#text.includes(":") ? `[${this.#text}]:${this.port}` : `${this.#text}:${this.port}`;
  }
}

export interface EndpointContext {
  readonly family: Family;
  readonly node: ProxyNode;
  /** Takes those that no Service may lead to, by their text. */
  readonly unusable?: Map<string, Addr>;
}

/** All endpoints of a service port in one family, each once, in the order of their addresses. */
export function endpointsOf(
  slices: readonly EndpointSlice[],
  port: ServicePort,
  { family, node, unusable }: EndpointContext,
): ResolvedEndpoint[] {
  const found = new Map<string, ResolvedEndpoint>();
  for (const slice of slices) {
    if (slice.addressType !== (family === 4 ? "IPv4" : "IPv6")) continue;
    // No ports means none; a port without a number means "all ports", which a service port cannot be mapped to.
    const number = (slice.ports ?? []).find(
      (p) => (p.name ?? "") === (port.name ?? "") && (p.protocol ?? "TCP") === (port.protocol ?? "TCP"),
    )?.port;
    if (number === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      // Several addresses are fungible, and consumers may take the first (discovery.k8s.io/v1 Endpoint).
      const given = endpoint.addresses[0] ?? "";
      const addr = tryParseAddr(given);
      if (addr?.family !== family) continue;
      const canonical = formatAddr(addr);
      if (whyUnusable(addr) !== undefined) {
        unusable?.set(canonical, addr);
        continue;
      }
      const resolved = resolve(endpoint, { text: canonical === given ? given : canonical, port: number, node });
      // While an endpoint moves between slices both have it; the better news is the newer, whichever slice comes first.
      const { id } = resolved.backend;
      const other = found.get(id);
      if (other === undefined || rank(resolved) > rank(other)) found.set(id, resolved);
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

function rank({ backend, ready, serving, terminating, nodeName, zones, nodes }: ResolvedEndpoint): string {
  // One that may be used counts before one that may not, whatever else is said of that.
  const mayBeUsed = ready || (serving && terminating);
  return [...[ready, mayBeUsed, serving, !terminating, backend.local].map(Number), nodeName, ...zones, ...nodes].join(" ");
}

/** `hints.forNodes` came with Kubernetes 1.33. */
interface Hints {
  readonly forZones?: readonly { readonly name: string }[];
  readonly forNodes?: readonly { readonly name: string }[];
}

const NONE: readonly string[] = [];

function resolve(
  { conditions, hints, nodeName }: Endpoint,
  { text, port, node }: { readonly text: string; readonly port: number; readonly node: ProxyNode },
): ResolvedEndpoint {
  const { forZones, forNodes }: Hints = hints ?? {};
  const ready = conditions?.ready ?? true;
  return {
    backend: new EndpointBackend(text, port, nodeName === undefined || nodeName === node.name),
    nodeName,
    ready,
    serving: conditions?.serving ?? ready,
    terminating: conditions?.terminating ?? false,
    zones: forZones?.map(({ name }) => name) ?? NONE,
    nodes: forNodes?.map(({ name }) => name) ?? NONE,
  };
}

/** Ready endpoints; only where there are none, those that terminate and still serve (KEP-1669). */
function readyOrLeaving(endpoints: readonly ResolvedEndpoint[], ready: readonly ResolvedEndpoint[]): readonly ResolvedEndpoint[] {
  return ready.length > 0 ? ready : endpoints.filter(({ serving, terminating }) => serving && terminating);
}

/** For traffic policy Cluster: all, or those meant for this node or its zone. */
export function clusterEndpoints(endpoints: readonly ResolvedEndpoint[], node: ProxyNode): readonly ResolvedEndpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  return readyOrLeaving(endpoints, hinted(ready, node));
}

/** For traffic policy Local: those on this node. Hints mean nothing here. */
export function localEndpoints(endpoints: readonly ResolvedEndpoint[], node: ProxyNode): readonly ResolvedEndpoint[] {
  const here = endpoints.filter(({ nodeName }) => nodeName === node.name);
  return readyOrLeaving(
    here,
    here.filter((endpoint) => endpoint.ready),
  );
}

/** How many endpoints of this node are ready, whatever the port. A dual-stack pod has an address in two slices, and is one. */
export function readyHere(slices: readonly EndpointSlice[], node: ProxyNode): number {
  const ready = new Set<string>();
  for (const { addressType, endpoints } of slices) {
    if (addressType === "FQDN") continue;
    // An API server in Go writes an empty list as null.
    for (const { addresses, conditions, nodeName, targetRef } of endpoints ?? []) {
      const who = targetRef?.uid ?? addresses[0];
      if (nodeName === node.name && (conditions?.ready ?? true) && who !== undefined) ready.add(who);
    }
  }
  return ready.size;
}

/** Whether anybody anywhere answers: without one, clients are refused; with one that policy Local does not allow, they hear nothing. */
export function hasAny(endpoints: readonly ResolvedEndpoint[]): boolean {
  return endpoints.some(({ ready, serving, terminating }) => ready || (serving && terminating));
}

/** Hints count only when every endpoint has one: while they are being written, some have none yet (KEP-2433, "Kube-Proxy"). */
function hinted(ready: readonly ResolvedEndpoint[], { name, zone }: ProxyNode): readonly ResolvedEndpoint[] {
  if (ready.every(({ nodes }) => nodes.length > 0)) {
    const here = ready.filter(({ nodes }) => nodes.includes(name));
    if (here.length > 0) return here;
  }
  if (zone === undefined || !ready.every(({ zones }) => zones.length > 0)) return ready;
  const near = ready.filter(({ zones }) => zones.includes(zone));
  return near.length > 0 ? near : ready;
}
