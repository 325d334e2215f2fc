// Keeps the kernel's table as it is compiled: adopted where it is right, changed where it is not.
import { errorMessage, type Logger, WorkQueue } from "#base";
import type { Prefix } from "#ip";
import type { NftSocket } from "#linux";
import { diffTable } from "#nft";
import { compileMasquerade, MASQUERADE_TABLE } from "./masquerade.ts";

export interface MasqueradeOptions {
  /** In the node's network namespace; the caller's, who also closes it. */
  readonly nft: NftSocket;
  /** Of the whole cluster. */
  readonly podCidrs: readonly Prefix[];
  readonly logger: Logger;
}

export interface Masquerade {
  /** Resolves when pods leave the cluster with the node's address. */
  readonly ready: Promise<void>;
  /** Stops looking; what is in the kernel stays and goes on working. */
  stop(): void;
}

const KEY = "masquerade";
/** No event tells of a table that somebody else has removed. */
const RESYNC_MS = 300_000;

export function startMasquerade({ nft, podCidrs, logger }: MasqueradeOptions): Masquerade {
  const desired = compileMasquerade(podCidrs);
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const queue = new WorkQueue({
    async run() {
      const { changes, cleanup } = diffTable(nft.list(MASQUERADE_TABLE), desired);
      if (changes.length > 0) nft.apply(changes);
      if (cleanup.length > 0) nft.apply(cleanup);
      if (changes.length > 0) logger.info("pods leave the cluster with the node's address", { changes: changes.length });
      resolve();
      return RESYNC_MS;
    },
    onError(_, err, attempt) {
      logger.error("cannot masquerade pods that leave the cluster, trying again", { error: errorMessage(err), attempt });
    },
  });
  queue.add(KEY);
  return { ready, stop: () => queue.stop() };
}
