// What the zones say of a name: the DNS specification 1.1.0 (kubernetes/dns `docs/specification.md`), and where that is silent, what
// CoreDNS's kubernetes plugin answers.
import { type Addr, formatAddr, parseAddr } from "#ip";
import { DNS_TYPE, type DnsRecord } from "#wire";
import { addrOfDashedLabel, addrOfReverseName, labelsUnder } from "./names.ts";
import { type Endpoint, endpointsOf, hostOf, type NamedPort, type ServiceEntry, type Versioned, type ZoneIndex } from "./zone-index.ts";

export interface ZoneOptions {
  /** In lower case, without the final dot: "cluster.local". */
  readonly clusterDomain: string;
  readonly ttlSeconds: number;
  /** Whether `1-2-3-4.<ns>.pod` answers. "insecure": for every address, as kubeadm configures CoreDNS. */
  readonly pods: "disabled" | "insecure";
  /** The Service of the DNS server itself: what NS records name. */
  readonly dnsService: { readonly namespace: string; readonly name: string };
}

export interface Zones {
  readonly options: ZoneOptions;
  readonly index: ZoneIndex;
  /** The zone that the name is in, longest first, is one of these; the first is the cluster's. */
  readonly names: readonly string[];
}

/** What was found. `madeFrom`, where present, is all that the finding depends on. */
export type Finding =
  | {
      readonly kind: "records";
      readonly records: readonly DnsRecord[];
      readonly additionals?: readonly DnsRecord[];
      readonly madeFrom?: Versioned;
    }
  /** The name is an alias: its records are those of `target`. */
  | { readonly kind: "alias"; readonly target: string }
  /** The name exists, but has no such records. */
  | { readonly kind: "nodata"; readonly madeFrom?: Versioned }
  | { readonly kind: "nxdomain" };

const NODATA: Finding = { kind: "nodata" };
const NXDOMAIN: Finding = { kind: "nxdomain" };
/** Specification §2.2. */
const VERSION = "1.1.0";
const VERSION_TTL_SECONDS = 28800;

/** The zone that `name` (in lower case) is in, or undefined. */
export function zoneOf(zones: Zones, name: string): string | undefined {
  return zones.names.find((zone) => name === zone || name.endsWith(`.${zone}`));
}

/** Looks up `name`, in lower case and in `zone`. */
export function lookup(zones: Zones, zone: string, name: string, type: number): Finding {
  const labels = labelsUnder(name, zone) ?? [];
  if (labels.length === 0) return lookupApex(zones, zone, type);
  return zone === zones.options.clusterDomain
    ? new ClusterLookup(zones, name, type).find(labels)
    : lookupReverse(zones, zone, labels, { name, type });
}

export function soaRecord(zones: Zones, zone: string): DnsRecord {
  return {
    name: zone,
    ttlSeconds: zones.options.ttlSeconds,
    type: "SOA",
    primary: `ns.dns.${zone}`,
    mailbox: `hostmaster.${zone}`,
    serial: zones.index.serial,
    refreshSeconds: 7200,
    retrySeconds: 1800,
    expireSeconds: 86400,
    minimumSeconds: zones.options.ttlSeconds,
  };
}

function lookupApex(zones: Zones, zone: string, type: number): Finding {
  if (type === DNS_TYPE.SOA) return { kind: "records", records: [soaRecord(zones, zone)] };
  if (type !== DNS_TYPE.NS) return NODATA;
  const { options, index } = zones;
  const service = index.service(options.dnsService.namespace, options.dnsService.name);
  const target = service === undefined ? `ns.dns.${options.clusterDomain}` : serviceName(service, options.clusterDomain);
  const glue = addressRecords(target, service === undefined ? [] : addressesOf(service), options.ttlSeconds);
  return { kind: "records", records: [{ name: zone, ttlSeconds: options.ttlSeconds, type: "NS", target }], additionals: glue };
}

function lookupReverse(zones: Zones, zone: string, labels: readonly string[], query: { name: string; type: number }): Finding {
  const addr = addrOfReverseName(labels, zone);
  if (addr === undefined) return NXDOMAIN;
  const { clusterDomain, ttlSeconds } = zones.options;
  const names = new Set<string>();
  for (const service of zones.index.servicesAt(addr)) names.add(serviceName(service, clusterDomain));
  // A ClusterIP speaks for itself; only otherwise the endpoints do.
  if (names.size === 0) {
    const ip = formatAddr(addr);
    for (const service of zones.index.servicesWithEndpoint(addr)) {
      const endpoints = endpointsOf(service).filter((endpoint) => endpoint.ip === ip);
      for (const endpoint of endpoints) names.add(`${hostOf(endpoint)}.${serviceName(service, clusterDomain)}`);
    }
  }
  if (names.size === 0) return NXDOMAIN;
  if (query.type !== DNS_TYPE.PTR) return NODATA;
  const records = [...names].map((target): DnsRecord => ({ name: query.name, ttlSeconds, type: "PTR", target }));
  return { kind: "records", records };
}

function serviceName(service: ServiceEntry, clusterDomain: string): string {
  return `${service.name}.${service.namespace}.svc.${clusterDomain}`;
}

function addressRecords(name: string, addrs: readonly Addr[], ttlSeconds: number): DnsRecord[] {
  const unique = new Map(addrs.map((addr) => [formatAddr(addr), addr]));
  return [...unique.values()].map((address) => ({ name, ttlSeconds, type: address.family === 4 ? "A" : "AAAA", address }));
}

/** What a Service's own name stands for. */
function addressesOf(service: ServiceEntry): readonly Addr[] {
  return service.kind === "headless" ? endpointsOf(service).map(({ ip }) => parseAddr(ip)) : service.clusterIps;
}

interface SrvItem {
  readonly target: string;
  readonly port: number;
  readonly addr: Addr;
}

/** One lookup under the cluster's domain. */
class ClusterLookup {
  readonly #zones: Zones;
  readonly #name: string;
  readonly #type: number;
  readonly #ttlSeconds: number;

  constructor(zones: Zones, name: string, type: number) {
    this.#zones = zones;
    this.#name = name;
    this.#type = type;
    this.#ttlSeconds = zones.options.ttlSeconds;
  }

  find(labels: readonly string[]): Finding {
    const rest = labels.slice(0, -1);
    switch (labels.at(-1)) {
      case "svc":
        return this.#findService(rest);
      case "pod":
        return this.#findPod(rest);
      case "dns":
        return this.#findNameServer(rest);
      case "dns-version":
        return rest.length === 0 ? this.#version() : NXDOMAIN;
      default:
        return NXDOMAIN;
    }
  }

  #version(): Finding {
    if (this.#type !== DNS_TYPE.TXT) return NODATA;
    const strings = [new TextEncoder().encode(VERSION)];
    return { kind: "records", records: [{ name: this.#name, ttlSeconds: VERSION_TTL_SECONDS, type: "TXT", strings }] };
  }

  /** `dns.<zone>` and `ns.dns.<zone>`, which the SOA record names. */
  #findNameServer(labels: readonly string[]): Finding {
    if (labels.length === 0) return NODATA;
    if (labels.length > 1 || labels[0] !== "ns") return NXDOMAIN;
    const { dnsService } = this.#zones.options;
    const service = this.#zones.index.service(dnsService.namespace, dnsService.name);
    return service === undefined ? NODATA : this.#addresses(addressesOf(service), service);
  }

  #findPod(labels: readonly string[]): Finding {
    const namespace = labels.at(-1);
    if (namespace === undefined) return NODATA;
    if (!this.#zones.index.hasNamespace(namespace)) return NXDOMAIN;
    const label = labels[0] ?? "";
    if (labels.length === 1) return NODATA;
    const addr = labels.length > 2 || this.#zones.options.pods === "disabled" ? undefined : addrOfDashedLabel(label);
    return addr === undefined ? NXDOMAIN : this.#addresses([addr]);
  }

  #findService(labels: readonly string[]): Finding {
    const namespace = labels.at(-1);
    if (namespace === undefined) return NODATA;
    const name = labels.at(-2);
    if (name === undefined) return this.#zones.index.hasNamespace(namespace) ? NODATA : NXDOMAIN;
    const service = this.#zones.index.service(namespace, name);
    if (service === undefined) return NXDOMAIN;
    const below = labels.slice(0, -2);
    if (service.kind === "external-name") return below.length === 0 ? this.#externalName(service) : NXDOMAIN;
    if (below.length === 0) return this.#ownName(service);
    const [first = "", second = ""] = below;
    if (below.length === 1) return first.startsWith("_") ? this.#protocolName(service, first.slice(1)) : this.#endpointName(service, first);
    if (below.length > 2 || !first.startsWith("_") || !second.startsWith("_")) return NXDOMAIN;
    return this.#portName(service, first.slice(1), second.slice(1));
  }

  #externalName(service: ServiceEntry): Finding {
    const target = service.externalName;
    // An address is no name, so there is nothing that the alias could lead to.
    if (target === "" || /^[\d.]+$/.test(target) || target.includes(":")) return NXDOMAIN;
    const followed = [DNS_TYPE.A, DNS_TYPE.AAAA, DNS_TYPE.CNAME, DNS_TYPE.TXT] as readonly number[];
    return followed.includes(this.#type) ? { kind: "alias", target } : { kind: "nodata", madeFrom: service };
  }

  #ownName(service: ServiceEntry): Finding {
    const addrs = addressesOf(service);
    // §2.4.1: a headless Service without ready endpoints does not exist. Nor does one whose ClusterIP is still to be given.
    if (addrs.length === 0) return NXDOMAIN;
    if (this.#type === DNS_TYPE.SRV) return this.#services(service, () => true);
    return this.#addresses(addrs, service);
  }

  #endpointName(service: ServiceEntry, host: string): Finding {
    const endpoints = endpointsOf(service).filter((endpoint) => hostOf(endpoint) === host);
    if (endpoints.length === 0) return NXDOMAIN;
    if (this.#type === DNS_TYPE.SRV)
      return this.#srv(
        endpointItems(service, endpoints, this.#zones, () => true),
        service,
      );
    return this.#addresses(
      endpoints.map(({ ip }) => parseAddr(ip)),
      service,
    );
  }

  /** `_tcp.<service>` exists when a name below it does (RFC 8020), or resolvers that minimise names would not find those. */
  #protocolName(service: ServiceEntry, protocol: string): Finding {
    const items = this.#items(service, (port) => port.protocol === protocol && port.name !== "");
    return items.length > 0 ? { kind: "nodata", madeFrom: service } : NXDOMAIN;
  }

  #portName(service: ServiceEntry, port: string, protocol: string): Finding {
    if (port === "") return NXDOMAIN;
    const matches = (p: NamedPort): boolean => p.name === port && p.protocol === protocol;
    if (this.#items(service, matches).length === 0) return NXDOMAIN;
    return this.#type === DNS_TYPE.SRV ? this.#services(service, matches) : { kind: "nodata", madeFrom: service };
  }

  #addresses(addrs: readonly Addr[], madeFrom?: Versioned): Finding {
    const family = this.#type === DNS_TYPE.A ? 4 : this.#type === DNS_TYPE.AAAA ? 6 : 0;
    const wanted = addrs.filter((addr) => addr.family === family);
    const from = madeFrom === undefined ? {} : { madeFrom };
    if (wanted.length === 0) return { kind: "nodata", ...from };
    return { kind: "records", records: addressRecords(this.#name, wanted, this.#ttlSeconds), ...from };
  }

  #services(service: ServiceEntry, matches: (port: NamedPort) => boolean): Finding {
    return this.#srv(this.#items(service, matches), service);
  }

  #items(service: ServiceEntry, matches: (port: NamedPort) => boolean): SrvItem[] {
    if (service.kind === "headless") return endpointItems(service, endpointsOf(service), this.#zones, matches);
    const target = serviceName(service, this.#zones.options.clusterDomain);
    return service.ports.filter(matches).flatMap(({ port }) => service.clusterIps.map((addr) => ({ target, port, addr })));
  }

  #srv(items: readonly SrvItem[], madeFrom: Versioned): Finding {
    if (items.length === 0) return { kind: "nodata", madeFrom };
    // An endpoint may be in two slices at a time, but counts once.
    const distinct = [...new Map(items.map((item) => [`${item.target} ${item.port} ${formatAddr(item.addr)}`, item])).values()];
    const weight = Math.max(1, Math.floor(100 / distinct.length));
    const unique = new Map(distinct.map(({ target, port }) => [`${target} ${port}`, { target, port }]));
    const head = { name: this.#name, ttlSeconds: this.#ttlSeconds, type: "SRV", priority: 0, weight } as const;
    const records = [...unique.values()].map(({ target, port }): DnsRecord => ({ ...head, target, port }));
    const byTarget = [...Map.groupBy(distinct, (item) => item.target)];
    const additionals = byTarget.flatMap(([target, of]) => {
      const addrs = of.map((item) => item.addr);
      return addressRecords(target, addrs, this.#ttlSeconds);
    });
    return { kind: "records", records, additionals, madeFrom };
  }
}

function endpointItems(
  service: ServiceEntry,
  endpoints: readonly Endpoint[],
  zones: Zones,
  matches: (port: NamedPort) => boolean,
): SrvItem[] {
  const suffix = serviceName(service, zones.options.clusterDomain);
  return endpoints.flatMap((endpoint) =>
    endpoint.ports.filter(matches).map(({ port }) => ({ target: `${hostOf(endpoint)}.${suffix}`, port, addr: parseAddr(endpoint.ip) })),
  );
}
