// Looks now and then whether rules are still there. Who flushes tables (a firewall that restarts, `nft flush ruleset`, `iptables -F`)
// takes Services and policies away from everyone, and nothing else would bring them back before the next failed step. kube-proxy watches chains that it
// has made for this (k/k pkg/util/iptables, Monitor); here what is looked at is where packets come in.
import { errorMessage, type Logger } from "#base";

export interface IntactOptions {
  /** For the log: `service rules`. */
  readonly what: string;
  /** Throws or rejects where it cannot be said: then nothing is done. */
  readonly isIntact: () => Promise<boolean>;
  readonly repair: () => Promise<void>;
  readonly everyMs: number;
  readonly logger: Logger;
}

/** A look that takes long, as iptables with many rules does, comes less often: then it has this part of the time. */
const SHARE = 0.0005;

/** But no more seldom than so many times as usual: on a busy machine everything takes long. */
const AT_MOST = 10;

/** Resolves when looking has been given up, which `signal` does. */
export async function watchIntact({ what, isIntact, repair, everyMs, logger }: IntactOptions, signal: AbortSignal): Promise<void> {
  let delayMs = everyMs;
  let wasUnsure = false;
  while (await passes(delayMs, signal)) {
    const begin = performance.now();
    try {
      const intact = await isIntact();
      wasUnsure = false;
      delayMs = Math.min(Math.max(everyMs, (performance.now() - begin) / SHARE), AT_MOST * everyMs);
      if (intact || signal.aborted) continue;
      logger.warn(`somebody has removed or changed the ${what}; writing them again`);
      await repair();
    } catch (err) {
      // Once for each time that it begins.
      if (!wasUnsure && !signal.aborted) logger.warn(`cannot look whether the ${what} are there`, { error: errorMessage(err) });
      wasUnsure = true;
    }
  }
}

/** False: aborted before the time was over. The timer keeps no process alive. */
function passes(ms: number, signal: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  if (signal.aborted) return Promise.resolve(false);
  const onAbort = (): void => {
    clearTimeout(timer);
    resolve(false);
  };
  const timer = setTimeout(() => {
    signal.removeEventListener("abort", onAbort);
    resolve(true);
  }, ms).unref();
  signal.addEventListener("abort", onAbort, { once: true });
  return promise;
}
