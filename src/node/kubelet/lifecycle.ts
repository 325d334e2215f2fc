// postStart and preStop: what a container wants done when it has started and before it ends.
import type { LifecycleHandler } from "kubernetes-types/core/v1";
import type { Clock } from "#base";
import { check, type ProbeTarget } from "./probes/check.ts";

/** Undefined when all went well, else why not. Ends with `timeoutMs` at the latest. */
export async function runHook(
  handler: LifecycleHandler,
  target: ProbeTarget,
  { timeoutMs, clock, signal }: { readonly timeoutMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const seconds = sleepSeconds(handler);
  if (seconds !== undefined) {
    await clock.sleep(Math.min(seconds * 1000, timeoutMs), signal);
    return undefined;
  }
  const { ok, message } = await check(handler, target, timeoutMs / 1000);
  return ok ? undefined : message;
}

/** `sleep` (KEP-3960) is younger than the types. */
function sleepSeconds(handler: LifecycleHandler): number | undefined {
  if (!("sleep" in handler) || typeof handler.sleep !== "object" || handler.sleep === null || !("seconds" in handler.sleep))
    return undefined;
  return typeof handler.sleep.seconds === "number" ? handler.sleep.seconds : undefined;
}
