// `fairlead exec`: runs a command in a container; its exit code becomes ours.
import { exec as execInPod, type TerminalSize } from "#client/stream";
import { clientConfig } from "../api.ts";

export interface ExecCommandOptions {
  readonly name: string;
  readonly namespace: string;
  readonly container?: string;
  readonly stdin: boolean;
  readonly tty: boolean;
}

export async function exec(pod: string, command: readonly string[], options: ExecCommandOptions): Promise<number> {
  const terminal = options.tty && process.stdin.isTTY === true;
  if (terminal) process.stdin.setRawMode(true);
  try {
    const key = { namespace: options.namespace, name: pod.replace(/^pods?\//, "") };
    return await execInPod(clientConfig(options.name), key, {
      command,
      container: options.container,
      tty: options.tty,
      stdin: options.stdin ? process.stdin : undefined,
      resizes: terminal ? terminalSizes() : undefined,
      onStdout: (chunk) => process.stdout.write(chunk),
      onStderr: (chunk) => process.stderr.write(chunk),
    });
  } finally {
    if (terminal) process.stdin.setRawMode(false);
    process.stdin.destroy();
  }
}

/** The terminal's size now and after each change. */
async function* terminalSizes(): AsyncGenerator<TerminalSize> {
  for (;;) {
    yield { width: process.stdout.columns, height: process.stdout.rows };
    await new Promise((resolve) => process.stdout.once("resize", resolve));
  }
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end and keeps what it wrote. */
export async function runInContainer(
  name: string,
  run: { namespace: string; pod: string; command: readonly string[] },
): Promise<RunResult> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const code = await execInPod(
    clientConfig(name),
    { namespace: run.namespace, name: run.pod },
    {
      command: run.command,
      onStdout: (chunk) => out.push(chunk),
      onStderr: (chunk) => err.push(chunk),
    },
  );
  return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}
