// A DNS name, as a pod's resolver would ask for it: resolv.conf's search list and ndots (dnsPolicy, dnsConfig), and the name server. Pure.
import type { Service } from "kubernetes-types/core/v1";
import { InputError } from "#base";
import { type Addr, formatAddr, formatAddrPort, tryParseAddr } from "#ip";
import { keyOf, type Stored } from "#kube";
import { toAddress, type Wanted } from "./question.ts";
import type { Ask, ClusterObjects, NameLookup, Resolved, Target } from "./types.ts";

const DNS_PORT = 53;
/** What kubelets write for ClusterFirst. */
const NDOTS = 5;
const DEFAULT_DOMAIN = "cluster.local";

/** `name` is one of DNS: a Service's, or whatever the name server knows. */
export function lookupOf(name: string, wanted: Wanted, objects: ClusterObjects): Resolved {
  if (!/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?$/i.test(name)) throw new InputError("TO", `"${name}" is neither an object nor a DNS name`);
  if (wanted.from.place.kind === "outside")
    throw new InputError("TO", `outside knows no names of the cluster; ask for an address instead of "${name}"`);
  const server = nameServer(wanted, objects);
  if (server === undefined)
    throw new InputError("TO", `there is no pod or Service "${name}", and no name server to ask for it (Service kube-system/kube-dns)`);
  const domain = DEFAULT_DOMAIN;
  const lookup: NameLookup = { name, candidates: candidatesOf(name, wanted, domain), ask: server, family: wanted.family };
  const service = serviceOfName(lookup.candidates, domain, objects);
  if (service !== undefined) {
    const addr = clusterAddr(service, wanted);
    if (addr !== undefined) {
      const resolved = toAddress(addr, wanted, objects);
      if (resolved.kind === "ask") return { ...resolved, lookup };
    }
  }
  if (typeof wanted.port === "string") throw new InputError("--port", `"${wanted.port}" names no port of ${name}; give its number`);
  const protocol = wanted.protocol ?? (wanted.port === undefined ? "icmp" : "tcp");
  return { kind: "lookup", lookup, protocol, ...(wanted.port !== undefined && { port: wanted.port }) };
}

function clusterAddr({ spec }: Stored<Service>, { family, isFamilyGiven }: Wanted): Addr | undefined {
  const addrs = (spec?.clusterIPs ?? []).flatMap((ip) => tryParseAddr(ip) ?? []);
  return addrs.find((addr) => addr.family === family) ?? (isFamilyGiven ? undefined : addrs[0]);
}

function nameServer({ from, family }: Wanted, objects: ClusterObjects): Ask | undefined {
  const own = (from.pod?.spec?.dnsConfig?.nameservers ?? []).flatMap((text) => tryParseAddr(text) ?? []);
  const service = objects.services.find((one) => keyOf(one) === "kube-system/kube-dns");
  const addrs = (service?.spec?.clusterIPs ?? []).flatMap((ip) => tryParseAddr(ip) ?? []);
  const isOwn = from.pod?.spec?.dnsPolicy === "None" && own.length > 0;
  const dst = (isOwn ? own : addrs).find((addr) => addr.family === family) ?? (isOwn ? own : addrs)[0];
  if (dst === undefined) return undefined;
  const port = service?.spec?.ports?.find((one) => one.port === DNS_PORT && one.protocol === "UDP");
  const to: Target =
    isOwn || service === undefined
      ? { kind: "address" }
      : { kind: "service", service, via: "ClusterIP", ...(port !== undefined && { port }) };
  const what = isOwn || service === undefined ? `name server ${formatAddr(dst)}` : `name server ${keyOf(service)}`;
  return { from, protocol: "udp", dst, dstPort: DNS_PORT, to, text: `${what} at ${formatAddrPort(dst, DNS_PORT)}/udp` };
}

/** glibc's order: as it is at first where it has as many dots as ndots says. */
function candidatesOf(name: string, { from }: Wanted, domain: string): string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const options = from.pod?.spec?.dnsConfig?.options ?? [];
  const ndots = Number(options.find((option) => option.name === "ndots")?.value ?? NDOTS);
  const namespace = from.pod?.metadata.namespace;
  const cluster = namespace === undefined ? [] : [`${namespace}.svc.${domain}`, `svc.${domain}`, domain];
  const search = [...cluster, ...(from.pod?.spec?.dnsConfig?.searches ?? [])];
  const found = search.map((suffix) => `${name}.${suffix}`);
  return name.split(".").length - 1 >= ndots ? [name, ...found] : [...found, name];
}

function serviceOfName(candidates: readonly string[], domain: string, { services }: ClusterObjects): Stored<Service> | undefined {
  for (const candidate of candidates) {
    const [name, namespace, svc, ...rest] = candidate.split(".");
    if (svc !== "svc" || rest.join(".") !== domain) continue;
    const found = services.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
    if (found !== undefined) return found;
  }
  return undefined;
}
