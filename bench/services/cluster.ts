// A cluster's Services and EndpointSlices in memory, and informers over them.
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { Change, Informer } from "#client";
import { addrPlus, formatAddr, parseAddr } from "#ip";
import { type KubeObject, keyOf, type Stored } from "#kube";

/** An informer that is told what to say. */
export class ToldInformer<T extends KubeObject> implements Informer<T> {
  readonly synced: Promise<void> = Promise.resolve();
  readonly #objects = new Map<string, Stored<T>>();
  readonly #listeners: ((change: Change<T>) => void)[] = [];

  hasSynced(): boolean {
    return true;
  }

  hasSeen(): boolean {
    return true;
  }

  get(key: string): Stored<T> | undefined {
    return this.#objects.get(key);
  }

  list(): Stored<T>[] {
    return [...this.#objects.values()];
  }

  subscribe(listener: (change: Change<T>) => void): void {
    this.#listeners.push(listener);
    for (const [key, object] of this.#objects) listener({ type: "set", key, object, old: undefined });
  }

  set(object: Stored<T>): void {
    const key = keyOf(object);
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const listener of this.#listeners) listener({ type: "set", key, object, old });
  }

  stop(): void {}
}

export interface Sizes {
  readonly services: number;
  readonly endpoints: number;
}

const VIPS = parseAddr("10.96.0.1");
const PODS = parseAddr("10.128.0.1");

export function vip(n: number): string {
  return formatAddr(addrPlus(VIPS, n));
}

/** Pod number `n` of the cluster. */
export function podAddr(n: number): string {
  return formatAddr(addrPlus(PODS, n));
}

function meta(name: string, labels: Record<string, string> = {}): Stored["metadata"] {
  return { namespace: "default", name, uid: name, resourceVersion: "1", creationTimestamp: "2025-01-01T00:00:00Z", labels };
}

export function benchService(n: number): Stored<Service> {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: meta(`service-${n}`),
    spec: { type: "ClusterIP", clusterIP: vip(n), clusterIPs: [vip(n)], ports: [{ name: "http", port: 80, protocol: "TCP" }] },
  };
}

export function benchSlice(n: number, addresses: readonly string[]): Stored<EndpointSlice> {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: meta(`service-${n}-1`, { "kubernetes.io/service-name": `service-${n}` }),
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true }, nodeName: "other" })),
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  };
}

/** The addresses of service `n`'s endpoints. */
export function podsOf(n: number, { endpoints }: Sizes): string[] {
  return Array.from({ length: endpoints }, (_, i) => podAddr(n * endpoints + i));
}
