// A command in a kernel of its own, as this process's child would be: its output on this process's streams, Ctrl-C ends it.
import { constants } from "node:os";
import { findImage } from "./image.ts";
import { runInMachine } from "./machine.ts";

export interface KernelOptions {
  /** Default: 600,000. */
  readonly timeoutMs?: number;
  /** Default: 2048. */
  readonly memoryMiB?: number;
  /** Default: 2. */
  readonly cpus?: number;
  /** Beside PATH, HOME, LANG and what begins with FAIRLEAD_. */
  readonly env?: Readonly<Record<string, string>>;
}

/** As sysexits.h has it for "service unavailable": there is no machine here. */
export const NO_MACHINE = 69;
/** As env(1) and others: it was not the command that failed. */
const MACHINE_FAILED = 125;

/**
 * Node's flags there. V8 walks the stack when it wants to optimise WebAssembly, which strips the types of our sources, and on the
 * emulated processor has aborted at that ("Check failed: it->second.Size() > offset" below Runtime_WasmTriggerTierUp), in one of three
 * long runs. Without that optimisation it cannot.
 */
export const IN_KERNEL: readonly string[] = ["--liftoff-only"];

const ENDING: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
const STREAMS: readonly NodeJS.WriteStream[] = [process.stdout, process.stderr];

function passedThrough(): Record<string, string> {
  const isPassed = (name: string): boolean => ["PATH", "HOME", "LANG"].includes(name) || name.startsWith("FAIRLEAD_");
  const entries = Object.entries(process.env).flatMap(([name, value]) => (value !== undefined && isPassed(name) ? [[name, value]] : []));
  return Object.fromEntries(entries);
}

/** Runs `argv` in the current folder. The exit status: the command's, or 69, 125, or 128 and the signal that ended this. */
export async function runInKernel(argv: readonly string[], options: KernelOptions = {}): Promise<number> {
  const image = findImage();
  if (typeof image === "string") {
    console.log(`# kernel: skipped: ${image}`);
    return NO_MACHINE;
  }
  const env = passedThrough();
  const path = `${env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"}:/run/fairlead-kernel/bin`;
  const controller = new AbortController();
  let endedBy: NodeJS.Signals | undefined;
  const end = (signal: NodeJS.Signals): void => {
    endedBy = signal;
    controller.abort(new Error(`ended by ${signal}`));
  };
  // Nobody reads any more: an error event, as Node ignores the signal.
  const endByPipe = (): void => end("SIGPIPE");
  for (const signal of ENDING) process.on(signal, end);
  for (const stream of STREAMS) stream.on("error", endByPipe);
  try {
    return await runInMachine(
      image,
      { argv, cwd: process.cwd(), env: { ...env, ...options.env, PATH: path } },
      {
        timeoutMs: options.timeoutMs ?? 600_000,
        memoryMiB: options.memoryMiB ?? 2048,
        cpus: options.cpus ?? 2,
        // Not kvm: inside of a virtual machine it may be there and hang.
        accel: env["FAIRLEAD_KERNEL_ACCEL"] ?? "tcg",
        stdout: (chunk) => process.stdout.write(chunk),
        stderr: (chunk) => process.stderr.write(chunk),
        signal: controller.signal,
      },
    );
  } catch (err) {
    console.error(`kernel: ${err instanceof Error ? err.message : String(err)}`);
    return endedBy === undefined ? MACHINE_FAILED : 128 + constants.signals[endedBy];
  } finally {
    for (const signal of ENDING) process.removeListener(signal, end);
    for (const stream of STREAMS) stream.removeListener("error", endByPipe);
  }
}
