// UDP and SCTP flows that outlive their backend and must not.
import { formatAddrPort } from "#ip";
import type { ConntrackEntry } from "#linux";
import { SCTP, UDP } from "#nft";
import { frontendKey } from "./compile.ts";
import type { FrontendUpdate } from "./dataplane.ts";
import type { Backend, Frontend } from "./types.ts";

/**
 * UDP and SCTP flows to a frontend that are not with one of its serving endpoints. A UDP client that goes on sending keeps its flow alive for
 * ever, and with it the translation to a backend that is gone, or the lack of one from a time without backends
 * (kubernetes/kubernetes#48370). Frontends without any backend are left alone; so is TCP, which learns by itself.
 */
export function staleFlows(entries: readonly ConntrackEntry[], frontendOf: (key: string) => Frontend | undefined): ConntrackEntry[] {
  const serving = new Map<Frontend, ReadonlySet<string>>();
  return entries.filter(({ original, reply }) => {
    if (!isConnectionless(original.protocol)) return false;
    const frontend = frontendOf(frontendKey(original.dst, original.protocol, original.dstPort));
    if (frontend === undefined || isEmpty(frontend)) return false;
    let ids = serving.get(frontend);
    if (ids === undefined) {
      ids = new Set([...frontend.backends, ...(frontend.inside ?? []), ...frontend.draining].map(({ id }) => id));
      serving.set(frontend, ids);
    }
    return !ids.has(formatAddrPort(reply.src, reply.srcPort));
  });
}

/** Whether flows may have become stale by this change of a frontend. */
export function mayStrandFlows({ old, next }: FrontendUpdate): boolean {
  if (next === undefined || !isConnectionless(next.protocol) || isEmpty(next)) return false;
  if (old === undefined || isEmpty(old)) return true;
  return isWithout(servingOf(old), servingOf(next));
}

/** An SCTP client whose peer is silent tries the same association again and again, as a UDP client does. */
function isConnectionless(protocol: number): boolean {
  return protocol === UDP || protocol === SCTP;
}

function isEmpty({ backends, inside = [] }: Frontend): boolean {
  return backends.length + inside.length === 0;
}

function servingOf({ backends, inside = [], draining }: Frontend): Backend[] {
  return [...backends, ...inside, ...draining];
}

function isWithout(old: readonly Backend[], next: readonly Backend[]): boolean {
  const ids = new Set(next.map(({ id }) => id));
  return old.some(({ id }) => !ids.has(id));
}
