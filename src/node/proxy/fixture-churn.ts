// Random histories of Services and EndpointSlices, for tests that compare where they lead with a fresh start.
import type { Service, ServiceSpec } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { FakeClient } from "#client/fake";
import { ENDPOINT_SLICES, type KubeObject, type Resource, SERVICES } from "#kube";
import { type PortSpec, service, slice } from "./testing.ts";

const NAMES: readonly string[] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const VIPS: readonly string[] = ["10.96.0.1", "10.96.0.2", "10.96.0.3", "10.96.0.4", "10.96.0.5", "10.96.0.6"];
const EXTERNAL: readonly string[] = ["192.0.2.1", "192.0.2.2", "2001:db8:5::1", "10.96.0.1"];
const STATES: readonly string[] = ["", "", "", "!notready", "!terminating", "!dead"];
const PORTS: readonly PortSpec[] = [
  { name: "http", port: 80, targetPort: 8080 },
  { name: "https", port: 443 },
  { name: "dns", port: 53, protocol: "UDP" },
  { name: "dns-tcp", port: 53 },
];

/** Numbers from a seed (Mulberry32, public domain). */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Churn {
  readonly #random: () => number;
  readonly #client: FakeClient;
  readonly #known = new Set<string>();

  constructor(client: FakeClient, seed: number) {
    this.#client = client;
    this.#random = seeded(seed);
  }

  /** What the API holds now. */
  async objects(): Promise<KubeObject[]> {
    return [...(await this.#client.list(SERVICES)).items, ...(await this.#client.list(ENDPOINT_SLICES)).items];
  }

  async change(): Promise<void> {
    const name = this.#one(NAMES);
    const isService = this.#chance(0.4);
    const object = isService ? this.#service(name) : this.#slice(name);
    const id = `${object.kind} ${object.metadata?.name}`;
    const resource: Resource<KubeObject> = isService ? SERVICES : ENDPOINT_SLICES;
    const known = this.#known.has(id);
    if (known && this.#chance(0.2)) {
      this.#known.delete(id);
      await this.#client.delete(resource, { namespace: "default", name: object.metadata?.name ?? "" });
      return;
    }
    this.#known.add(id);
    if (known) await this.#client.update<KubeObject>(resource, object);
    else await this.#client.create<KubeObject>(resource, object);
    if (isService) await this.#client.update<KubeObject>(resource, object, { subresource: "status" });
  }

  #chance(part: number): boolean {
    return this.#random() < part;
  }

  #one<T>(of: readonly T[]): T {
    const picked = of[Math.floor(this.#random() * of.length)];
    if (picked === undefined) throw new Error("nothing to pick from");
    return picked;
  }

  #some<T>(of: readonly T[], part: number): T[] {
    return of.filter(() => this.#chance(part));
  }

  #service(name: string): Service {
    const type = this.#one(["ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer", "ExternalName"]);
    const vip = this.#one(VIPS);
    const six = `fd00:10:96::${vip.split(".").at(-1)}`;
    const ports = this.#some(PORTS, 0.6).map((port) => ({
      ...port,
      ...(type !== "ClusterIP" && { nodePort: this.#one([30_080, 30_081, 30_082]) }),
    }));
    const labels = this.#chance(0.05) ? { "service.kubernetes.io/service-proxy-name": "other" } : {};
    const made = service(name, this.#one([[vip], [six], [vip, six], ["None"]]), ports, this.#spec(type));
    const ips = type === "LoadBalancer" ? this.#some(EXTERNAL, 0.4) : [];
    return {
      ...made,
      metadata: { ...made.metadata, labels, creationTimestamp: `2025-01-0${1 + NAMES.indexOf(name)}T00:00:00Z` },
      status: { loadBalancer: { ingress: ips.map((ip) => ({ ip, ...(this.#chance(0.1) && { ipMode: "Proxy" }) })) } },
    };
  }

  #spec(type: string): Partial<ServiceSpec> {
    return {
      type,
      ...(this.#chance(0.4) && {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: this.#one([60, 600]) } },
      }),
      ...(this.#chance(0.4) && { externalTrafficPolicy: "Local" }),
      ...(this.#chance(0.2) && { internalTrafficPolicy: "Local" }),
      ...(this.#chance(0.3) && { externalIPs: this.#some(EXTERNAL, 0.5) }),
      ...(this.#chance(0.2) && {
        loadBalancerSourceRanges: this.#some(["198.51.100.0/24", " 203.0.113.0/24", "172.18.0.0/16", "2001:db8::/32"], 0.6),
      }),
    };
  }

  #slice(name: string): EndpointSlice {
    const isSix = this.#chance(0.3);
    const count = Math.floor(this.#random() * 7);
    const endpoints = Array.from({ length: count }, () => {
      const last = 2 + Math.floor(this.#random() * 8);
      const addr = isSix ? `fd00:10:244:1::${last}` : `10.244.1.${last}`;
      return `${addr}${this.#one(["@node-1", "@node-2", ""])}${this.#one(STATES)}`;
    });
    const made = slice(name, endpoints, this.#some(PORTS, 0.9), isSix ? "6" : this.#one(["1", "2"]));
    return { ...made, addressType: isSix ? "IPv6" : "IPv4" };
  }
}
