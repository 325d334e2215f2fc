// Clients that are remembered, as elements of the `affinity` maps.
import { type Addr, formatAddrPort } from "#ip";
import type { Element } from "#nft";
import { frontendKey } from "../compile.ts";
import type { Affinity, FrontendUpdate } from "../dataplane.ts";
import type { Backend, Frontend } from "../types.ts";

type Part = Element["key"][number];

function isAddr(part: Part | undefined): part is Addr {
  return typeof part === "object" && "family" in part;
}

/** Undefined: not an element of an affinity map. */
export function affinityOf({ key, data, expiresMs }: Element): Affinity | undefined {
  const [client, addr, protocol, port] = key;
  if (!isAddr(client) || !isAddr(addr) || typeof protocol !== "number" || typeof port !== "number") return undefined;
  if (data === undefined || "kind" in data) return undefined;
  const [backend, backendPort] = data;
  if (!isAddr(backend) || typeof backendPort !== "number") return undefined;
  return {
    client,
    frontend: frontendKey(addr, protocol, port),
    backend: formatAddrPort(backend, backendPort),
    ...(expiresMs !== undefined && { expiresMs }),
  };
}

/** Remembered clients whose backend is none of their frontend's (cilium/cilium#27096 is what happens otherwise). */
export function staleAffinities(elements: readonly Element[], frontendOf: (key: string) => Frontend | undefined): Element[] {
  return elements.filter((element) => {
    const affinity = affinityOf(element);
    if (affinity === undefined) return false;
    const frontend = frontendOf(affinity.frontend);
    return frontend === undefined || ![...frontend.backends, ...(frontend.inside ?? [])].some(({ id }) => id === affinity.backend);
  });
}

/** Whether clients may be remembered for a backend that gets no new connections any more. */
export function mayStrandClients({ old, next }: FrontendUpdate): boolean {
  if (old?.affinitySeconds === undefined) return false;
  return next === undefined || isWithout(old.backends, next.backends) || isWithout(old.inside, next.inside);
}

function isWithout(old: readonly Backend[] = [], next: readonly Backend[] = []): boolean {
  const ids = new Set(next.map(({ id }) => id));
  return old.some(({ id }) => !ids.has(id));
}
