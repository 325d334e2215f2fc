// The strategy of Services: cluster IPs and node ports are taken when they are written and given back when they are gone.
// After `pkg/registry/core/service/storage/alloc.go`.
import type { Service, ServiceSpec } from "kubernetes-types/core/v1";
import type { Prefix } from "#ip";
import { SERVICES } from "#kube";
import { type FieldError, invalidStatus } from "#kube/schema";
import { listObjects } from "../registry/access.ts";
import type { Registry, Strategy, Write } from "../registry/types.ts";
import type { Writable } from "../registry/version.ts";
import { StatusError } from "../status.ts";
import { AddressRanges } from "./address-ranges.ts";
import { familyName, initFamilies } from "./families.ts";
import { PortAllocator, type PortRange } from "./port-allocator.ts";
import {
  dropTypeDependentFields,
  HEADLESS,
  isHeadless,
  needsClusterIp,
  needsHealthCheckPort,
  needsNodePorts,
  normalizeClusterIps,
  patchAllocatedValues,
} from "./spec.ts";

export interface ServiceRanges {
  /** One per family, the default family first. */
  readonly serviceCidrs: readonly Prefix[];
  readonly nodePorts: PortRange;
}

export class ServiceStrategy implements Strategy<Service> {
  readonly createOnUpdate = true;
  readonly returnsDeleted = true;
  readonly addresses: AddressRanges;
  readonly #ports: PortAllocator;

  constructor(ranges: ServiceRanges) {
    this.addresses = new AddressRanges(ranges.serviceCidrs);
    this.#ports = new PortAllocator(ranges.nodePorts);
  }

  /** At start: what the stored Services have is taken. What two of them have, or what is out of range, is reported and stays as it is. */
  rebuild(registry: Registry): void {
    for (const service of listObjects(registry, SERVICES)) {
      const { spec } = service;
      if (spec === undefined) continue;
      const problems = [...ipsOf(spec).map((ip) => this.addresses.retake(ip)), ...portsOf(spec).map((port) => this.#ports.take(port))];
      for (const problem of problems) {
        if (problem === undefined) continue;
        registry.logger.warn("a stored Service has what it cannot have", {
          service: `${service.metadata.namespace}/${service.metadata.name}`,
          problem,
        });
      }
    }
  }

  prepareForCreate(service: Writable<Service>, write: Write): void {
    service.status = { loadBalancer: {} };
    const { spec } = service;
    if (spec === undefined) return;
    normalizeClusterIps(spec, undefined);
    this.#allocate(service, spec, undefined, write);
  }

  prepareForUpdate(service: Writable<Service>, old: Service, write: Write): void {
    const { spec } = service;
    if (spec === undefined || old.spec === undefined) return;
    dropTypeDependentFields(service, old);
    patchAllocatedValues(spec, old.spec);
    normalizeClusterIps(spec, old.spec);
    this.#allocate(service, spec, old.spec, write);
  }

  deleted({ spec }: Service): void {
    if (spec === undefined) return;
    for (const ip of ipsOf(spec)) this.addresses.release(ip);
    for (const port of portsOf(spec)) this.#ports.release(port);
  }

  #allocate(service: Writable<Service>, spec: ServiceSpec, before: ServiceSpec | undefined, write: Write): void {
    const families = this.addresses.families.map(familyName);
    const errors = initFamilies(spec, before, families);
    if (errors.length === 0) errors.push(...this.#allocateIps(spec, before, write), ...this.#allocatePorts(spec, before, write));
    if (errors.length > 0) throw StatusError.from(invalidStatus(SERVICES, service.metadata?.name ?? "", errors));
    const gone = before === undefined ? [] : ipsOf(before).filter((ip) => !ipsOf(spec).includes(ip));
    const gonePorts = before === undefined ? [] : portsOf(before).filter((port) => !portsOf(spec).includes(port));
    write.done(() => {
      for (const ip of gone) this.addresses.release(ip);
      for (const port of gonePorts) this.#ports.release(port);
    });
  }

  #allocateIps(spec: ServiceSpec, before: ServiceSpec | undefined, write: Write): FieldError[] {
    if (!needsClusterIp(spec)) return [];
    if (isHeadless(spec)) {
      spec.clusterIP = HEADLESS;
      spec.clusterIPs = [HEADLESS];
      return [];
    }
    const own = before === undefined ? [] : ipsOf(before);
    const ips = [...(spec.clusterIPs ?? [])];
    for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
      const wanted = ips[i] ?? "";
      if (own.includes(wanted)) continue;
      const problem = wanted === "" ? this.#takeNextIp(family, ips) : this.addresses.take(wanted);
      if (problem !== undefined) return [ipError(wanted, ips, problem)];
      const taken = ips[i] ?? "";
      write.undo(() => this.addresses.release(taken));
    }
    spec.clusterIPs = ips;
    if (ips[0] !== undefined) spec.clusterIP = ips[0];
    return [];
  }

  #takeNextIp(family: string, ips: string[]): string | undefined {
    const ip = this.addresses.takeNext(family === "IPv6" ? 6 : 4);
    if (ip === undefined) return "range is full";
    ips.push(ip);
    return undefined;
  }

  #allocatePorts(spec: ServiceSpec, before: ServiceSpec | undefined, write: Write): FieldError[] {
    const errors: FieldError[] = [];
    const own = new Set(before === undefined ? [] : portsOf(before));
    const take = (wanted: number, field: string): number => {
      if (own.has(wanted)) return wanted;
      const port = wanted === 0 ? this.#ports.takeNext() : wanted;
      const problem = port === undefined ? "range is full" : wanted === 0 ? undefined : this.#ports.take(wanted);
      if (port === undefined || problem !== undefined) {
        errors.push({ type: "FieldValueInvalid", field, message: `Invalid value: ${wanted}: ${problem ?? ""}` });
        return wanted;
      }
      own.add(port);
      write.undo(() => this.#ports.release(port));
      return port;
    };
    if (needsNodePorts(spec)) {
      // One number serves all protocols of a port (a DNS Service over TCP and UDP).
      const shared = new Map<number, number>();
      for (const port of spec.ports ?? []) if ((port.nodePort ?? 0) !== 0) shared.set(port.port, port.nodePort ?? 0);
      for (const [i, port] of (spec.ports ?? []).entries()) {
        const taken = take(
          port.nodePort ?? (isOnlyWithProtocol(spec, i) ? shared.get(port.port) : undefined) ?? 0,
          `spec.ports[${i}].nodePort`,
        );
        port.nodePort = taken;
        shared.set(port.port, taken);
      }
    }
    if (needsHealthCheckPort(spec)) spec.healthCheckNodePort = take(spec.healthCheckNodePort ?? 0, "spec.healthCheckNodePort");
    return errors;
  }
}

/** Whether the port's protocol occurs once among the ports of the same number, so that their node port can be one. */
function isOnlyWithProtocol(spec: ServiceSpec, index: number): boolean {
  const port = spec.ports?.[index];
  return (spec.ports ?? []).filter((other) => other.port === port?.port && other.protocol === port.protocol).length === 1;
}

function ipError(wanted: string, ips: readonly string[], problem: string): FieldError {
  const message =
    wanted === ""
      ? `Invalid value: ${JSON.stringify(ips)}: failed to allocate a serviceIP: ${problem}`
      : `Invalid value: ${JSON.stringify(ips)}: failed to allocate IP ${wanted}: ${problem}`;
  return { type: "FieldValueInvalid", field: "spec.clusterIPs", message };
}

function ipsOf(spec: ServiceSpec): string[] {
  if (!needsClusterIp(spec)) return [];
  return (spec.clusterIPs ?? []).filter((ip) => ip !== HEADLESS && ip !== "");
}

function portsOf(spec: ServiceSpec): number[] {
  const ports = (spec.ports ?? []).flatMap((port) => port.nodePort ?? []);
  return [...new Set([...ports, ...(spec.healthCheckNodePort === undefined ? [] : [spec.healthCheckNodePort])])].filter(
    (port) => port !== 0,
  );
}
