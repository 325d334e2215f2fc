// The addresses by which nodes reach each other. Whoever may write a Node may write anything there: the API checks nothing of it.
import type { Node } from "kubernetes-types/core/v1";
import { type Addr, tryParseAddr } from "#ip";

export interface InternalAddrs {
  readonly addrs: readonly Addr[];
  /** What is not an address, as a text for its reader. */
  readonly ignored: readonly string[];
}

/** Those of type InternalIP, in their order. */
export function internalAddrsOf(node: Node): InternalAddrs {
  const addrs: Addr[] = [];
  const ignored: string[] = [];
  const declared: readonly (Partial<{ type: unknown; address: unknown }> | null)[] = node.status?.addresses ?? [];
  for (const one of declared) {
    if (one !== null && typeof one.type === "string" && one.type !== "InternalIP") continue;
    const addr = one?.type === "InternalIP" && typeof one.address === "string" ? tryParseAddr(one.address) : undefined;
    if (addr === undefined) ignored.push(JSON.stringify(one));
    else addrs.push(addr);
  }
  return { addrs, ignored };
}
