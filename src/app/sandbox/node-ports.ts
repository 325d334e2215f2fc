// Which NodePorts the cluster has now, for the supervisor that publishes them on the host.
import type { Service } from "kubernetes-types/core/v1";
import type { Informer } from "#client";

export interface NodePort {
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
}

export interface NodePortWatch {
  /** Begins to follow the Services. */
  follow(services: Informer<Service>): void;
  subscribe(listener: (ports: readonly NodePort[]) => void): () => void;
}

export function startNodePortWatch(): NodePortWatch {
  const listeners = new Set<(ports: readonly NodePort[]) => void>();
  let ports: readonly NodePort[] = [];
  return {
    follow(services) {
      services.subscribe(() => {
        const next = nodePortsOf(services.list());
        if (JSON.stringify(next) === JSON.stringify(ports)) return;
        ports = next;
        for (const listener of listeners) listener(ports);
      });
    },
    subscribe(listener) {
      listeners.add(listener);
      listener(ports);
      return () => listeners.delete(listener);
    },
  };
}

/** Those of the Services that the host can have too: TCP and UDP, in a fixed order. */
function nodePortsOf(services: readonly Service[]): NodePort[] {
  const found = new Map<string, NodePort>();
  for (const { protocol = "TCP", nodePort = 0 } of services.flatMap((service) => service.spec?.ports ?? [])) {
    const one: unknown = { port: nodePort, protocol };
    if (isNodePort(one)) found.set(`${one.protocol} ${String(one.port).padStart(5)}`, one);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
}

export function isNodePort(value: unknown): value is NodePort {
  if (typeof value !== "object" || value === null || !("port" in value) || !("protocol" in value)) return false;
  return Number.isInteger(value.port) && value.port !== 0 && (value.protocol === "TCP" || value.protocol === "UDP");
}
