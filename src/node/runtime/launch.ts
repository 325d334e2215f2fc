// Starts the launcher and waits for its report.
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { inNamespaces, type Namespaces } from "#linux";
import { RuntimeError } from "./errors.ts";
import type { LaunchReport, LaunchSpec } from "./launch-spec.ts";
import { REPORT_FD } from "./launch-spec.ts";
import type { ProgramFiles } from "./rootfs.ts";
import { type ProcessId, processId } from "./state.ts";

export interface LaunchOptions {
  readonly programs: ProgramFiles;
  /** Where the spec is written for the launcher to read. */
  readonly specFile: string;
  readonly spec: LaunchSpec;
  readonly where: Namespaces;
  /** Standard input, output and error. */
  readonly stdio: readonly [number | "ignore", number | "ignore", number | "ignore"];
}

export interface Launched {
  readonly child: ChildProcess;
  readonly process: ProcessId;
  /** Resolves when the program itself begins; rejects with why it does not. */
  readonly started: Promise<void>;
}

// What a container's own Node program gets by is little; the launcher itself needs nothing.
const NODE_FLAGS = ["--max-semi-space-size=1", "--v8-pool-size=1", "--no-warnings"];

export function launch({ programs, specFile, spec, where, stdio }: LaunchOptions): Launched {
  writeFileSync(specFile, JSON.stringify(spec), { mode: 0o600 });
  const args = [...NODE_FLAGS, `${programs.distDir}/launcher.js`, specFile];
  const allStdio: StdioOptions = [...stdio, "pipe"];
  const child = inNamespaces(where, () => spawn(programs.nodePath, args, { stdio: allStdio, detached: true, cwd: "/", env: {} }));
  const started = waitForReport(child).finally(() => rmSync(specFile, { force: true }));
  // Whoever is interested waits for it; who is not must not be ended by it.
  started.catch(() => {});
  child.unref();
  const id = child.pid === undefined ? undefined : processId(child.pid);
  if (id === undefined)
    throw new RuntimeError("RunContainerError", `cannot start the launcher ${args.join(" ")}: the process did not start, or ended at once`);
  return { child, process: id, started };
}

async function waitForReport(child: ChildProcess): Promise<void> {
  const failed = new Promise<never>((_, reject) => {
    child.once("error", (err) => reject(new RuntimeError("RunContainerError", `cannot start the launcher: ${err.message}`, err)));
  });
  const report = await Promise.race([readReport(child.stdio[REPORT_FD] as Readable), failed]);
  if (report === undefined) throw new RuntimeError("RunContainerError", "the launcher ended before it could start the container");
  if (report.error === undefined) return;
  const code = report.error.kind === "command" ? "RunContainerError" : "CreateContainerError";
  throw new RuntimeError(code, report.error.message);
}

async function readReport(input: Readable): Promise<LaunchReport | undefined> {
  let text = "";
  for await (const chunk of input) text += String(chunk);
  return text === "" ? undefined : (JSON.parse(text) as LaunchReport);
}
