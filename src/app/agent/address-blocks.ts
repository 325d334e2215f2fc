// Which addresses pods and Services have, on a cluster that somebody else made: told by flags, or read from its objects and followed.
import type { Node } from "kubernetes-types/core/v1";
import { backoffMs, errorMessage, InputError, type Logger, systemClock } from "#base";
import { createInformer, type HttpClient, type Informer } from "#client";
import { formatPrefix, maskPrefix, type Prefix, parsePrefix, prefixContains, tryParsePrefix } from "#ip";
import { SERVICE_CIDRS } from "#kube";
import { podCidrsOf } from "#overlay";

export interface AddressBlocks {
  /** What is known now; none lies within another. */
  readonly get: () => readonly Prefix[];
  /** Calls whenever that may be something else. */
  readonly follow: (listener: () => void) => void;
}

export function givenBlocks(blocks: readonly Prefix[]): AddressBlocks {
  return { get: () => blocks, follow() {} };
}

/** The Pod CIDRs of all Nodes that `nodes` holds. */
export function podBlocks(nodes: Informer<Node>, logger: Logger): AddressBlocks {
  const told = new Set<string>();
  const of = (node: Node): Prefix[] => {
    try {
      return podCidrsOf(node);
    } catch (err) {
      const message = errorMessage(err);
      if (!told.has(message)) logger.warn("a Node's Pod CIDRs cannot be used", { node: node.metadata?.name, error: message });
      told.add(message);
      return [];
    }
  };
  return { get: () => union(nodes.list().flatMap(of)), follow: (listener) => nodes.subscribe(listener) };
}

const RETRY = { initialMs: 200, maxMs: 10_000 };

/** The HTTP status of ServiceCIDR objects. A server that is away, or has too much to do, is waited for. Rejects when `signal` aborts. */
async function askForServiceCidrs(client: HttpClient, logger: Logger, signal: AbortSignal): Promise<number> {
  const op = "list servicecidrs";
  for (let attempt = 0; ; attempt++) {
    let problem: string;
    try {
      const { status } = await client.raw({ method: "GET", path: "/apis/networking.k8s.io/v1/servicecidrs?limit=1", op, signal });
      if (status < 500 && status !== 429) return status;
      problem = `HTTP ${status}`;
    } catch (err) {
      if (signal.aborted) throw err;
      problem = errorMessage(err);
    }
    if (attempt % 10 === 0) logger.warn("cannot read ServiceCIDR objects, trying again", { error: problem });
    await systemClock.sleep(backoffMs(RETRY, attempt), signal);
  }
}

/** Those of the ServiceCIDR objects (KEP-1880; in v1 since Kubernetes 1.33). Throws InputError where the API server has none to show. */
export async function serviceBlocks(client: HttpClient, logger: Logger, signal: AbortSignal): Promise<AddressBlocks> {
  const status = await askForServiceCidrs(client, logger, signal);
  if (status !== 200) {
    const why =
      status === 404
        ? "the API server has no ServiceCIDR objects (Kubernetes 1.33 and newer have)"
        : `reading ServiceCIDR objects: HTTP ${status}`;
    throw new InputError("--service-cidr", `is missing, and ${why}; pass what kube-apiserver has as --service-cluster-ip-range`);
  }
  const informer = createInformer(client, SERVICE_CIDRS, { logger, signal });
  await informer.synced;
  const blocks = (): Prefix[] =>
    union(informer.list().flatMap(({ spec }) => (spec?.cidrs ?? []).flatMap((text) => tryParsePrefix(text) ?? [])));
  return { get: blocks, follow: (listener) => informer.subscribe(listener) };
}

/** Without blocks inside others; two halves become the whole, so that the nodes of a large cluster are a handful of blocks. */
export function union(blocks: readonly Prefix[]): Prefix[] {
  const known = new Map(blocks.map((block) => [formatPrefix(maskPrefix(block)), maskPrefix(block)]));
  // A whole is added at the end, and so looked at later.
  for (const [text, block] of known) {
    const other = block.bits === 0 ? undefined : formatPrefix(sibling(block));
    if (other === undefined || !known.has(other)) continue;
    known.delete(text);
    known.delete(other);
    const whole = maskPrefix({ addr: block.addr, bits: block.bits - 1 });
    known.set(formatPrefix(whole), whole);
  }
  const widestFirst = [...known.values()].sort((one, two) => one.bits - two.bits);
  return widestFirst.filter((block, i) => !widestFirst.slice(0, i).some((wider) => prefixContains(wider, block.addr)));
}

function sibling({ addr, bits }: Prefix): Prefix {
  const last = 0x80 >> ((bits - 1) % 8);
  const bytes = addr.bytes.map((byte, i) => (i === (bits - 1) >> 3 ? byte ^ last : byte));
  return { addr: { ...addr, bytes }, bits };
}

/** Comma-separated. Throws InputError. */
export function parseBlocks(flag: string, text: string): Prefix[] {
  return union(
    text
      .split(",")
      .filter((part) => part !== "")
      .map((part) => parsePrefix(part, flag)),
  );
}
