// A proxy on the fixture's node, and the API it watches, for tests with real packets.
import type { Service, ServiceSpec } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { silentLogger } from "#base";
import { createFakeClient, type FakeClient } from "#client/fake";
import { ENDPOINT_SLICES, type KubeObject, type Resource, SERVICES } from "#kube";
import type { ProxyMode } from "./dataplane.ts";
import type { Fixture } from "./fixture.ts";
import { createMetrics } from "./metrics.ts";
import { DATAPLANES } from "./modes.ts";
import { type ProxyOptions, type ServiceProxy, startProxy } from "./start.ts";
import { CIDRS, NODE, type PortSpec, service, slice } from "./testing.ts";

const PORTS: readonly PortSpec[] = [
  { name: "tcp", port: 80, targetPort: 8080, nodePort: 30_080 },
  { name: "udp", port: 80, targetPort: 8080, protocol: "UDP", nodePort: 30_080 },
];

export interface Family {
  readonly name: string;
  readonly index: 0 | 1;
  /** The ClusterIP number `n`. */
  readonly vip: (n: number) => string;
  readonly pods: readonly [a: string, b: string];
  readonly node: string;
  readonly gateway: string;
  readonly outside: string;
  /** An address that is nobody's; the outside sends it to the node. */
  readonly external: (n: number) => string;
}

export const FAMILIES: readonly Family[] = [
  {
    name: "IPv4",
    index: 0,
    vip: (n) => `10.96.0.${n}`,
    pods: ["10.244.1.2@node-1", "10.244.1.3@node-1"],
    node: "172.18.0.11",
    gateway: "10.244.1.1",
    outside: "172.18.0.1",
    external: (n) => `192.0.2.${n}`,
  },
  {
    name: "IPv6",
    index: 1,
    vip: (n) => `fd00:10:96::${n.toString(16)}`,
    pods: ["fd00:10:244:1::2@node-1", "fd00:10:244:1::3@node-1"],
    node: "fd00:18::11",
    gateway: "fd00:10:244:1::1",
    outside: "fd00:18::1",
    external: (n) => `2001:db8:5::${n.toString(16)}`,
  },
];

/** Parts of a Service's spec, and its load balancer addresses. */
export interface Given extends Partial<ServiceSpec> {
  readonly ips?: readonly string[];
}

export class Cluster {
  readonly client: FakeClient = createFakeClient();
  proxy: ServiceProxy;
  readonly #fixture: Fixture;
  #mode: ProxyMode;
  readonly #more: Partial<ProxyOptions>;

  private constructor(fixture: Fixture, mode: ProxyMode, more: Partial<ProxyOptions>) {
    this.#fixture = fixture;
    this.#mode = mode;
    this.#more = more;
    this.proxy = this.#start();
  }

  static async start(fixture: Fixture, mode: ProxyMode = "nftables", more: Partial<ProxyOptions> = {}): Promise<Cluster> {
    const cluster = new Cluster(fixture, mode, more);
    await cluster.proxy.synced;
    return cluster;
  }

  #start(): ServiceProxy {
    const { ns } = this.#fixture.node;
    return startProxy({ client: this.client, netns: ns, node: NODE, ...CIDRS, logger: silentLogger, mode: this.#mode, ...this.#more });
  }

  /** Another proxy in the place of this one. */
  async restart(mode: ProxyMode = this.#mode): Promise<void> {
    this.proxy.stop();
    this.#mode = mode;
    this.proxy = this.#start();
    await this.proxy.synced;
  }

  /**
   * Makes a service with ClusterIP number `n`, or changes its backends and, where it is given, its spec. Resolves when the kernel holds
   * all that.
   */
  async set(n: number, { name, vip }: Family, backends: readonly string[], given?: Given): Promise<void> {
    const id = `s${n}-${name.toLowerCase()}`;
    const ports = PORTS.map((port) => ({ ...port, nodePort: 30_000 + n }));
    const { ips = [], ...spec } = given ?? {};
    const status = { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } };
    const exists = (await this.client.list(SERVICES)).items.some(({ metadata }) => metadata.name === id);
    const object: Service = { ...service(id, [vip(n)], ports, spec), status };
    await this.put(
      ...(exists && given === undefined ? [] : [object]),
      ...(ips.length > 0 ? [{ ...object, subresource: "status" as const }] : []),
      {
        ...slice(id, backends, ports),
        addressType: name,
      },
    );
  }

  /** Writes objects one after another, each whole, and resolves when the kernel holds what follows from all. */
  async put(...objects: readonly ((Service | EndpointSlice) & { readonly subresource?: "status" })[]): Promise<void> {
    let expected = this.#changes();
    for (const { subresource, ...object } of objects) {
      const resource: Resource<KubeObject> = object.kind === "Service" ? SERVICES : ENDPOINT_SLICES;
      const { items } = await this.client.list(resource);
      const old = items.find(({ metadata }) => metadata.name === object.metadata?.name);
      const now =
        old === undefined
          ? await this.client.create(resource, object)
          : await this.client.update(resource, object, subresource === undefined ? {} : { subresource });
      // What changes nothing is no event.
      if (now.metadata.resourceVersion !== old?.metadata.resourceVersion) expected++;
    }
    await this.#until(expected);
  }

  /** Deletes a Service and its first EndpointSlice. */
  async drop(name: string): Promise<void> {
    const expected = this.#changes() + 2;
    await this.client.delete(SERVICES, { namespace: "default", name });
    await this.client.delete(ENDPOINT_SLICES, { namespace: "default", name: `${name}-1` });
    await this.#until(expected);
  }

  async #until(changes: number): Promise<void> {
    while (this.#changes() < changes) await new Promise((resolve) => setImmediate(resolve));
    await this.proxy.idle();
  }

  /** Stops the proxy, and takes away what it made. */
  async remove(): Promise<void> {
    this.proxy.stop();
    const metrics = createMetrics();
    const dataplane = DATAPLANES[this.#mode]?.({ netns: this.#fixture.node.ns, cidrs: CIDRS, metrics, logger: silentLogger });
    await dataplane?.remove();
    dataplane?.close();
  }

  #changes(): number {
    const { metrics } = this.proxy;
    return metrics.sync_proxy_rules_service_changes_total + metrics.sync_proxy_rules_endpoint_changes_total;
  }
}
