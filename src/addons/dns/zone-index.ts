// What the cluster's zone is made of, kept up to date change by change: Services, the ready endpoints of their slices, namespaces.
// Holds only what answers need, already parsed.
import type { Namespace, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, formatAddr, tryParseAddr } from "#ip";
import type { Stored } from "#kube";
import { dashedLabel, lowerName } from "./names.ts";

/** What an answer is made from; an answer made at another version is stale. */
export interface Versioned {
  readonly version: number;
}

export interface NamedPort {
  /** "" for an unnamed port, which has no `_port._proto` name. */
  readonly name: string;
  /** In lower case: "tcp", "udp", "sctp". */
  readonly protocol: string;
  readonly port: number;
}

/** There is one for each endpoint of the cluster: text, because an `Addr` takes five times the memory. */
export interface Endpoint {
  /** Its address in canonical text. */
  readonly ip: string;
  /** "" where it has none and goes by its address. */
  readonly hostname: string;
  readonly ports: readonly NamedPort[];
}

interface Slice {
  /** Only ready ones. */
  readonly endpoints: readonly Endpoint[];
}

export interface ServiceEntry {
  /** Grows with every change of the Service or its endpoints. */
  version: number;
  readonly namespace: string;
  readonly name: string;
  /** "absent": endpoint slices name it, but there is no such Service. */
  kind: "absent" | "cluster-ip" | "headless" | "external-name";
  clusterIps: readonly Addr[];
  ports: readonly NamedPort[];
  externalName: string;
  readonly slices: Map<string, Slice>;
}

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

export class ZoneIndex {
  readonly #namespaces = new Set<string>();
  readonly #services = new Map<string, Map<string, ServiceEntry>>();
  /** Addresses in canonical text, to the Services that have them as a ClusterIP. */
  readonly #clusterIps = new MultiMap<ServiceEntry>();
  /** And to those that have them as an endpoint, once for each slice that says so. */
  readonly #endpointIps = new MultiMap<ServiceEntry>();
  /** The Service that a slice was last counted for: its label may change. */
  readonly #sliceOwners = new Map<string, ServiceEntry>();
  #serial: number;

  /** `firstSerial`: seconds since the epoch, so that serials also grow over restarts. */
  constructor(firstSerial = 0) {
    this.#serial = firstSerial;
  }

  /** Of the SOA records: grows with every change. */
  get serial(): number {
    return this.#serial >>> 0;
  }

  hasNamespace(name: string): boolean {
    return this.#namespaces.has(name) || this.#services.has(name);
  }

  service(namespace: string, name: string): ServiceEntry | undefined {
    const entry = this.#services.get(namespace)?.get(name);
    return entry?.kind === "absent" ? undefined : entry;
  }

  /** The Services whose ClusterIP this is. */
  servicesAt(addr: Addr): ReadonlySet<ServiceEntry> {
    return new Set(this.#clusterIps.get(formatAddr(addr)));
  }

  /** The Services that have a ready endpoint there. */
  servicesWithEndpoint(addr: Addr): ReadonlySet<ServiceEntry> {
    return new Set(this.#endpointIps.get(formatAddr(addr)).filter((entry) => entry.kind !== "absent"));
  }

  setNamespace(namespace: Stored<Namespace>): void {
    this.#namespaces.add(namespace.metadata.name);
    this.#serial++;
  }

  deleteNamespace(name: string): void {
    this.#namespaces.delete(name);
    this.#serial++;
  }

  setService(service: Stored<Service>): void {
    const entry = this.#entry(service.metadata.namespace ?? "", service.metadata.name);
    this.#describe(entry, service);
    this.#touch(entry);
  }

  deleteService(namespace: string, name: string): void {
    const entry = this.#services.get(namespace)?.get(name);
    if (entry === undefined) return;
    this.#describe(entry, undefined);
    this.#touch(entry);
    this.#dropIfEmpty(entry);
  }

  setSlice(slice: Stored<EndpointSlice>): void {
    const namespace = slice.metadata.namespace ?? "";
    const key = `${namespace}/${slice.metadata.name}`;
    const owner = slice.metadata.labels?.[SERVICE_NAME_LABEL] ?? "";
    this.deleteSlice(namespace, slice.metadata.name);
    if (owner === "") return;
    const entry = this.#entry(namespace, owner);
    const parsed = parseSlice(slice);
    entry.slices.set(slice.metadata.name, parsed);
    this.#sliceOwners.set(key, entry);
    for (const { ip } of parsed.endpoints) this.#endpointIps.add(ip, entry);
    this.#touch(entry);
  }

  deleteSlice(namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    const entry = this.#sliceOwners.get(key);
    const slice = entry?.slices.get(name);
    if (entry === undefined || slice === undefined) return;
    this.#sliceOwners.delete(key);
    entry.slices.delete(name);
    for (const { ip } of slice.endpoints) this.#endpointIps.delete(ip, entry);
    this.#touch(entry);
    this.#dropIfEmpty(entry);
  }

  #touch(entry: ServiceEntry): void {
    entry.version++;
    this.#serial++;
  }

  #entry(namespace: string, name: string): ServiceEntry {
    let services = this.#services.get(namespace);
    if (services === undefined) {
      services = new Map();
      this.#services.set(namespace, services);
    }
    let entry = services.get(name);
    if (entry === undefined) {
      entry = { version: 0, namespace, name, kind: "absent", clusterIps: [], ports: [], externalName: "", slices: new Map() };
      services.set(name, entry);
    }
    return entry;
  }

  #dropIfEmpty(entry: ServiceEntry): void {
    if (entry.kind !== "absent" || entry.slices.size > 0) return;
    const services = this.#services.get(entry.namespace);
    services?.delete(entry.name);
    if (services?.size === 0) this.#services.delete(entry.namespace);
  }

  #describe(entry: ServiceEntry, service: Stored<Service> | undefined): void {
    for (const addr of entry.clusterIps) this.#clusterIps.delete(formatAddr(addr), entry);
    const spec = service?.spec ?? {};
    const texts = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
    entry.clusterIps = texts.map((text) => tryParseAddr(text)).filter((addr) => addr !== undefined);
    entry.ports = (spec.ports ?? []).map(parsePort).filter((port) => port !== undefined);
    entry.externalName = lowerName(spec.externalName ?? "").replace(/\.$/, "");
    entry.kind = service === undefined ? "absent" : kindOf(spec.type, texts);
    for (const addr of entry.clusterIps) this.#clusterIps.add(formatAddr(addr), entry);
  }
}

/** Several values to a key, which most keys have one of: that one is kept without a list around it. */
class MultiMap<T extends object> {
  readonly #values = new Map<string, T | T[]>();

  get(key: string): readonly T[] {
    const found = this.#values.get(key);
    return found === undefined ? [] : Array.isArray(found) ? found : [found];
  }

  add(key: string, value: T): void {
    const before = this.get(key);
    this.#values.set(key, before.length === 0 ? value : [...before, value]);
  }

  /** Takes back one `add`. */
  delete(key: string, value: T): void {
    const before = this.get(key);
    const at = before.indexOf(value);
    const after = before.filter((_, i) => i !== at);
    const [only] = after;
    if (only === undefined) this.#values.delete(key);
    else this.#values.set(key, after.length === 1 ? only : after);
  }
}

function kindOf(type: string | undefined, clusterIps: readonly string[]): ServiceEntry["kind"] {
  if (type === "ExternalName") return "external-name";
  return clusterIps.includes("None") ? "headless" : "cluster-ip";
}

interface PortLike {
  readonly name?: string;
  readonly protocol?: string;
  readonly port?: number;
}

function parsePort(port: PortLike): NamedPort | undefined {
  if (port.port === undefined || port.port === null) return undefined;
  return { name: lowerName(port.name ?? ""), protocol: lowerName(port.protocol ?? "TCP"), port: port.port };
}

function parseSlice(slice: Stored<EndpointSlice>): Slice {
  const ports = (slice.ports ?? []).map(parsePort).filter((port) => port !== undefined);
  const endpoints: Endpoint[] = [];
  // Absent `ready` means ready (EndpointConditions). Whether an unready pod is published is decided by who writes the slice.
  for (const { addresses, hostname, conditions } of slice.endpoints ?? []) {
    if (conditions?.ready === false) continue;
    for (const text of addresses) {
      const addr = tryParseAddr(text);
      if (addr === undefined) continue;
      endpoints.push({ ip: formatAddr(addr), hostname: lowerName(hostname ?? ""), ports });
    }
  }
  return { endpoints };
}

/** An endpoint's label under the Service's name. */
export function hostOf({ ip, hostname }: Endpoint): string {
  return hostname === "" ? dashedLabel(ip) : hostname;
}

/** All ready endpoints of a Service. The same one may be in two slices while the controller moves it. */
export function endpointsOf(entry: ServiceEntry): Endpoint[] {
  return [...entry.slices.values()].flatMap((slice) => slice.endpoints);
}
