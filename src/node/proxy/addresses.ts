// Which of the addresses and ranges that a Service names can be used, and what to say about the others.
import type { Service } from "kubernetes-types/core/v1";
import { type Addr, type Family, formatAddr, hostPrefix, type Prefix, prefixContains, tryParseAddr, tryParsePrefix } from "#ip";
import type { ProxyNode, ServiceProblem } from "./types.ts";

/**
 * Why no Service may lead to this address, or be reached at it; undefined: it may. The API refuses the same (ValidateNonSpecialIP):
 * they mean something else on every machine, and what listens there counts on being reached from there only.
 */
export function whyUnusable({ family, bytes }: Addr): string | undefined {
  const [a = 0, b = 0] = bytes;
  // Asked for each endpoint: a loop makes nothing that has to be collected.
  const isZero = (upTo: number): boolean => {
    for (let i = 0; i < upTo; i++) if (bytes[i] !== 0) return false;
    return true;
  };
  if (isZero(bytes.length)) return "it is unspecified";
  if (family === 4 ? a === 127 : isZero(15) && bytes[15] === 1) return "it is a loopback address";
  if (family === 4 ? a === 169 && b === 254 : a === 0xfe && (b & 0xc0) === 0x80) return "it is a link-local address";
  if (family === 4 ? a >= 224 && a < 240 : a === 0xff) return "it is a multicast address";
  return family === 4 && bytes.every((byte) => byte === 255) ? "it is the broadcast address" : undefined;
}

export interface ExternalAddr {
  readonly kind: "LoadBalancer" | "ExternalIP";
  readonly addr: Addr;
}

export interface ExternalAddrs {
  /** The load balancer's first. */
  readonly addrs: readonly ExternalAddr[];
  readonly problems: readonly ServiceProblem[];
}

/** At which addresses beside ClusterIPs and NodePorts a Service is reached; it has `families`. */
export function externalAddrs(service: Service, families: ReadonlySet<Family>): ExternalAddrs {
  const addrs: ExternalAddr[] = [];
  const problems: ServiceProblem[] = [];
  const take = (kind: ExternalAddr["kind"], field: string, text: string): void => {
    const addr = tryParseAddr(text);
    const why = addr === undefined ? "it is not an IP address" : (whyUnusable(addr) ?? whyOtherFamily(addr.family, families));
    if (why === undefined && addr !== undefined) addrs.push({ kind, addr });
    else problems.push({ reason: "UnusableAddress", message: `${field} "${text}" is not used: ${why}` });
  };
  for (const [i, text] of loadBalancerIps(service)) take("LoadBalancer", `status.loadBalancer.ingress[${i}].ip`, text);
  for (const [i, text] of (service.spec?.externalIPs ?? []).entries()) take("ExternalIP", `spec.externalIPs[${i}]`, text);
  return { addrs, problems };
}

function loadBalancerIps({ spec, status }: Service): [number, string][] {
  if (spec?.type !== "LoadBalancer") return [];
  // ipMode Proxy: the load balancer ends connections itself, and wants to see those from inside too (KEP-1860).
  const ingress = status?.loadBalancer?.ingress ?? [];
  return ingress.flatMap(({ ip, ipMode }, i): [number, string][] => (ipMode === "Proxy" || ip === undefined || ip === "" ? [] : [[i, ip]]));
}

function whyOtherFamily(family: Family, families: ReadonlySet<Family>): string | undefined {
  return families.has(family) ? undefined : `the Service has no ClusterIP of the family IPv${family}`;
}

export interface SourceRanges {
  /** Who may use the load balancer's addresses; undefined: everybody. */
  of(family: Family): readonly Prefix[] | undefined;
  readonly problems: readonly ServiceProblem[];
}

export function sourceRanges(service: Service, node: ProxyNode, external: readonly ExternalAddr[]): SourceRanges {
  const balanced = external.filter(({ kind }) => kind === "LoadBalancer").map(({ addr }) => addr);
  const families = new Set(balanced.map(({ family }) => family));
  const ranges: Prefix[] = [];
  const problems: ServiceProblem[] = [];
  for (const [i, text] of (service.spec?.loadBalancerSourceRanges ?? []).entries()) {
    const range = tryParsePrefix(text.trim());
    const isOther = range !== undefined && balanced.length > 0 && !families.has(range.addr.family);
    const why = range === undefined ? "it is not a CIDR" : isOther ? otherFamily(range.addr.family) : undefined;
    if (why !== undefined)
      problems.push({ reason: "UnusableSourceRange", message: `spec.loadBalancerSourceRanges[${i}] "${text}" is not used: ${why}` });
    else if (range !== undefined) ranges.push(range);
  }
  return { of: (family) => rangesOf(family, { ranges, node, balanced }), problems };
}

function otherFamily(family: Family): string {
  return `the load balancer has no address of the family IPv${family}`;
}

interface Ranges {
  readonly ranges: readonly Prefix[];
  readonly node: ProxyNode;
  readonly balanced: readonly Addr[];
}

/** None of them within another. Ranges of one family do not concern the other: there everybody may. */
function rangesOf(family: Family, { ranges: all, node, balanced }: Ranges): readonly Prefix[] | undefined {
  const ranges = all.filter(({ addr }) => addr.family === family);
  if (ranges.length === 0 || ranges.some(({ bits }) => bits === 0)) return undefined;
  const hasNode = node.addresses.some((addr) => addr.family === family && ranges.some((range) => prefixContains(range, addr)));
  // Where the node holds the address itself, its packets come from there (k/k pkg/proxy/nftables, "firewall").
  const own = hasNode ? balanced.filter((addr) => addr.family === family).map(hostPrefix) : [];
  const widestFirst = [...ranges, ...own].sort((a, b) => a.bits - b.bits);
  return widestFirst.filter((range, i) => !widestFirst.slice(0, i).some((wider) => prefixContains(wider, range.addr)));
}

/** Endpoints that no Service may lead to, as one problem: an EndpointSlice may have a thousand of them. */
export function endpointProblems([first, ...rest]: readonly Addr[]): ServiceProblem[] {
  if (first === undefined) return [];
  const others = rest.length === 0 ? "" : ` and ${rest.length} more`;
  return [{ reason: "UnusableEndpoint", message: `The endpoint ${formatAddr(first)}${others} gets no connections: ${whyUnusable(first)}` }];
}
