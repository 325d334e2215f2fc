// Which NodePorts the cluster has now, for the supervisor that publishes them on the host.
import type { Service } from "kubernetes-types/core/v1";
import type { Informer } from "#client";

export interface NodePortWatch {
  /** Begins to follow the Services. */
  follow(services: Informer<Service>): void;
  subscribe(listener: (ports: readonly number[]) => void): () => void;
}

export function startNodePortWatch(): NodePortWatch {
  const listeners = new Set<(ports: readonly number[]) => void>();
  let ports: readonly number[] = [];
  return {
    follow(services) {
      services.subscribe(() => {
        const next = nodePortsOf(services.list());
        if (next.join() === ports.join()) return;
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

/** TCP node ports of the Services, ascending. (A UDP port cannot be carried over a stream socket.) */
function nodePortsOf(services: readonly Service[]): number[] {
  const ports = services.flatMap((service) => service.spec?.ports ?? []);
  const tcp = ports.filter((port) => (port.protocol ?? "TCP") === "TCP").map((port) => port.nodePort ?? 0);
  return [...new Set(tcp)].filter((port) => port !== 0).sort((a, b) => a - b);
}
