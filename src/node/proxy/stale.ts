// What outlives its backend and must not: UDP flows in conntrack, and clients' affinities.
import { formatAddrPort } from "#ip";
import type { ConntrackEntry } from "#linux";
import { type Element, UDP } from "#nft";
import { frontendKey } from "./compile.ts";
import type { Placed } from "./elements.ts";
import type { Backend, Frontend } from "./types.ts";

/**
 * UDP flows to a frontend that are not with one of its serving endpoints. A UDP client that goes on sending keeps its flow alive for
 * ever, and with it the translation to a backend that is gone, or the lack of one from a time without backends
 * (kubernetes/kubernetes#48370). Frontends without any backend are left alone; so is everything but UDP: TCP learns by itself.
 */
export function staleFlows(entries: readonly ConntrackEntry[], frontendOf: (key: string) => Frontend | undefined): ConntrackEntry[] {
  const serving = new Map<Frontend, ReadonlySet<string>>();
  return entries.filter(({ original, reply }) => {
    if (original.protocol !== UDP) return false;
    const frontend = frontendOf(frontendKey(original.dst, UDP, original.dstPort));
    if (frontend === undefined || isEmpty(frontend)) return false;
    let ids = serving.get(frontend);
    if (ids === undefined) {
      ids = new Set([...frontend.backends, ...frontend.draining].map(({ id }) => id));
      serving.set(frontend, ids);
    }
    return !ids.has(formatAddrPort(reply.src, reply.srcPort));
  });
}

/** Whether flows may have become stale by this change of a frontend. */
export function mayStrandFlows(old: Placed | undefined, next: Frontend | undefined): boolean {
  if (next === undefined || next.protocol !== UDP || isEmpty(next)) return false;
  if (old === undefined || old.slots.length === 0) return true;
  return losesBackend(old, next);
}

/** Whether clients may be remembered for a backend that gets no new connections any more. */
export function mayStrandClients(old: Placed | undefined, next: Frontend | undefined): boolean {
  return old?.frontend.affinitySeconds !== undefined && (next === undefined || losesBackend(old, next));
}

function isEmpty({ backends, inside = [] }: Frontend): boolean {
  return backends.length + inside.length === 0;
}

function losesBackend(old: Placed, { backends, inside = [] }: Frontend): boolean {
  return isWithout(old.slots, backends) || isWithout(old.inside, inside);
}

function isWithout(old: readonly Backend[], next: readonly Backend[]): boolean {
  const ids = new Set(next.map(({ id }) => id));
  return old.some(({ id }) => !ids.has(id));
}

/** Remembered clients whose backend is none of their frontend's (cilium/cilium#27096 is what happens otherwise). */
export function staleAffinities(elements: readonly Element[], frontendOf: (key: string) => Frontend | undefined): Element[] {
  return elements.filter(({ key, data }) => {
    const [, addr, protocol, port] = key;
    if (typeof addr !== "object" || !("family" in addr) || typeof protocol !== "number" || typeof port !== "number") return false;
    if (data === undefined || "kind" in data) return false;
    const [backend, backendPort] = data;
    if (typeof backend !== "object" || !("family" in backend) || typeof backendPort !== "number") return false;
    const id = formatAddrPort(backend, backendPort);
    const frontend = frontendOf(frontendKey(addr, protocol, port));
    return frontend === undefined || ![...frontend.backends, ...(frontend.inside ?? [])].some((each) => each.id === id);
  });
}
