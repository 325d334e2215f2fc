// What the parts of a route socket share.
import { KernelError } from "../kernel-error.ts";
import { MessageWriter, type NetlinkSocket, refusalError } from "../netlink/index.ts";
import type { NetNs } from "../types.ts";

export interface RouteContext {
  readonly netlink: NetlinkSocket;
  readonly ns: NetNs;
  /** The index of a link. Throws ENODEV where there is none. */
  indexOf(name: string, op: string): number;
}

/**
 * How much goes out at once: few enough that the refusals of all of them fit into a receive buffer of the default size
 * (net.core.rmem_default 212992, about 800 bytes for each).
 */
const MESSAGES_PER_SEND = 200;

/** Sends one message per item, `write` fills it. All are tried; then the first refusal is thrown, `facts.refused` counts them. */
export function sendMany<T>(
  ctx: RouteContext,
  items: readonly T[],
  work: { write(w: MessageWriter, item: T): void; describe(item: T): string },
): void {
  const w = new MessageWriter(16 * 1024);
  let first: KernelError | undefined;
  let refusedCount = 0;
  for (let start = 0; start < items.length; start += MESSAGES_PER_SEND) {
    const chunk = items.slice(start, start + MESSAGES_PER_SEND);
    w.reset();
    // Writing one may ask for an index, which takes a sequence number too.
    const bySeq = new Map<number, T>();
    for (const item of chunk) {
      work.write(w, item);
      bySeq.set(w.lastSeq, item);
    }
    const { refused, overrun } = ctx.netlink.send(w);
    refusedCount += refused.length;
    const refusal = refused[0];
    if (refusal !== undefined && first === undefined) {
      const item = bySeq.get(refusal.seq);
      first = refusalError(refusal, () => `set ${item === undefined ? "one of many" : work.describe(item)}`);
    }
    if (overrun)
      first ??= new KernelError({ op: `set ${items.length} objects`, errno: 105, detail: "more refusals than could be received" });
  }
  if (first === undefined) return;
  throw new KernelError({
    op: first.op ?? "",
    errno: first.errno,
    detail: first.detail,
    offset: first.offset,
    facts: { refused: refusedCount, of: items.length },
  });
}

/** An `indexOf` that asks for each name once. */
export function cachedIndex(ctx: RouteContext): RouteContext["indexOf"] {
  const known = new Map<string, number>();
  return (name, op) => {
    const index = known.get(name) ?? ctx.indexOf(name, op);
    known.set(name, index);
    return index;
  };
}
