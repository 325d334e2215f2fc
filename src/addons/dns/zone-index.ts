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

export interface Endpoint {
  /** Its label under the Service's name: its hostname, or its address with dashes. */
  readonly host: string;
  readonly addr: Addr;
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

/** Everything that an address stands for, for PTR. */
export interface AddressEntry {
  /** Services that have it as a ClusterIP. */
  readonly services: Set<ServiceEntry>;
  /** Services that have it as an endpoint, with the number of slices that say so. */
  readonly endpointOf: Map<ServiceEntry, number>;
}

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

export class ZoneIndex {
  readonly #namespaces = new Set<string>();
  readonly #services = new Map<string, Map<string, ServiceEntry>>();
  readonly #addresses = new Map<string, AddressEntry>();
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

  address(addr: Addr): AddressEntry | undefined {
    return this.#addresses.get(formatAddr(addr));
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
    this.#count(entry, parsed, 1);
    this.#touch(entry);
  }

  deleteSlice(namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    const entry = this.#sliceOwners.get(key);
    const slice = entry?.slices.get(name);
    if (entry === undefined || slice === undefined) return;
    this.#sliceOwners.delete(key);
    entry.slices.delete(name);
    this.#count(entry, slice, -1);
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
    for (const addr of entry.clusterIps) this.#forget(addr, (a) => a.services.delete(entry));
    const spec = service?.spec ?? {};
    const texts = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
    entry.clusterIps = texts.map((text) => tryParseAddr(text)).filter((addr) => addr !== undefined);
    entry.ports = (spec.ports ?? []).map(parsePort).filter((port) => port !== undefined);
    entry.externalName = lowerName(spec.externalName ?? "").replace(/\.$/, "");
    entry.kind = service === undefined ? "absent" : kindOf(spec.type, texts);
    for (const addr of entry.clusterIps) this.#remember(addr).services.add(entry);
  }

  /** Counts the slice's endpoints for their addresses, or takes them back. */
  #count(entry: ServiceEntry, slice: Slice, by: 1 | -1): void {
    for (const { addr } of slice.endpoints) {
      const apply = (a: AddressEntry): void => {
        const count = (a.endpointOf.get(entry) ?? 0) + by;
        if (count > 0) a.endpointOf.set(entry, count);
        else a.endpointOf.delete(entry);
      };
      if (by > 0) apply(this.#remember(addr));
      else this.#forget(addr, apply);
    }
  }

  #remember(addr: Addr): AddressEntry {
    const key = formatAddr(addr);
    let entry = this.#addresses.get(key);
    if (entry === undefined) {
      entry = { services: new Set(), endpointOf: new Map() };
      this.#addresses.set(key, entry);
    }
    return entry;
  }

  #forget(addr: Addr, apply: (entry: AddressEntry) => void): void {
    const key = formatAddr(addr);
    const entry = this.#addresses.get(key);
    if (entry === undefined) return;
    apply(entry);
    if (entry.services.size === 0 && entry.endpointOf.size === 0) this.#addresses.delete(key);
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
      endpoints.push({ host: hostname === undefined || hostname === "" ? dashedLabel(addr) : lowerName(hostname), addr, ports });
    }
  }
  return { endpoints };
}

/** All ready endpoints of a Service. The same one may be in two slices while the controller moves it. */
export function endpointsOf(entry: ServiceEntry): Endpoint[] {
  return [...entry.slices.values()].flatMap((slice) => slice.endpoints);
}
