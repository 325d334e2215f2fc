// A process that has started keeps the garbage of its start for as long as it is idle: V8 collects when something is allocated. One
// full collection gives about 5 MiB of 30 back to the machine (measured on an agent), for about 15 ms of CPU.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

interface CollectOptions {
  readonly type: "major";
  readonly execution: "sync";
  /** Gives empty pages back too (V8's `gc-extension.cc`). */
  readonly flavor: "last-resort";
}

/** Collects once, `afterMs` from now, when the rush of the start is over. Does not keep the process alive. */
export function settleMemory(afterMs: number): void {
  setTimeout(() => {
    setFlagsFromString("--expose-gc");
    const collect: unknown = runInNewContext("gc");
    if (typeof collect === "function")
      (collect as (options: CollectOptions) => void)({ type: "major", execution: "sync", flavor: "last-resort" });
  }, afterMs).unref();
}
