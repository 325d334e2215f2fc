// What a proxy does on its node once the kernel holds all Services, beside writing changes.
import { errorMessage, type Logger } from "#base";
import { type NetNs, watchIntact } from "#linux";
import type { Dataplane, ProxyMode } from "./dataplane.ts";
import { removeModes } from "./modes.ts";
import { tracesOf } from "./traces.ts";

export interface UpkeepOptions {
  readonly netns: NetNs;
  readonly dataplane: Pick<Dataplane, "mode" | "isIntact" | "mayBeOther">;
  /** Compares everything with what the kernel holds. */
  readonly resync: () => Promise<void>;
  readonly checkEveryMs: number;
  readonly logger: Logger;
}

/** Resolves when what another mode has left is gone. Then looks after the rules until `signal` aborts. */
export async function startUpkeep({ netns, dataplane, resync, checkEveryMs, logger }: UpkeepOptions, signal: AbortSignal): Promise<void> {
  beLiberal(netns, logger);
  await removeOthers(netns, dataplane.mode, logger);
  const isIntact = async (): Promise<boolean> => tracesOf(netns).has(dataplane.mode) && ((await dataplane.isIntact?.()) ?? true);
  const on = { what: "service rules", repair: resync, everyMs: checkEveryMs, logger };
  void watchIntact({ ...on, isIntact }, signal);
  // Comparing is repairing here: what takes long comes less often, as every look does.
  const isCompared = async (): Promise<boolean> => {
    if (dataplane.mayBeOther?.() === true) await resync();
    return true;
  };
  void watchIntact({ ...on, isIntact: isCompared }, signal);
}

/**
 * As kube-proxy does at its start, for a node that had another mode before. Rules of both say the same for as long as both are there, and
 * without the others packets go on by ours: there is no gap.
 */
async function removeOthers(netns: NetNs, mode: ProxyMode, logger: Logger): Promise<void> {
  try {
    for (const { mode: other, removed, unavailable, error } of await removeModes(netns, mode)) {
      const failure = error ?? unavailable;
      if (removed.length > 0) logger.info("removed what another proxy mode has left", { mode: other, removed });
      if (failure !== undefined)
        logger.warn("cannot look for what another proxy mode has left", { mode: other, error: errorMessage(failure) });
    }
  } catch (err) {
    logger.warn("cannot look for what other proxy modes have left", { error: errorMessage(err) });
  }
}

/**
 * A packet out of window is INVALID to conntrack, passes without translation, and the client answers with a reset
 * (kubernetes/kubernetes#74839). Taking such packets as belonging to their flow avoids it; dropping them would break asymmetric paths.
 */
function beLiberal(netns: NetNs, logger: Logger): void {
  try {
    netns.setSysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 1);
  } catch (err) {
    logger.warn("cannot make conntrack liberal about TCP windows: connections may be reset under load", { error: errorMessage(err) });
  }
}
