// The launcher: what every container begins as. It builds the container's root (or enters the one of a container that runs), gives up
// what the container must not have, and becomes the container's program. usage: launcher SPEC.json
// It is started once per container and must stay small.
import { closeSync, readFileSync, writeSync } from "node:fs";
import { errorMessage } from "#base";
import { joinMountNamespace } from "#linux";
import { type LaunchReport, type LaunchSpec, REPORT_FD } from "#runtime";
import { CommandError, prepareProcess, runProcess } from "./process.ts";
import { buildRoot } from "./root.ts";

/** Execution failed before the program of the container began (as shells and runc have it). */
const EXIT_LAUNCH_FAILED = 128;

let reported = false;

function report(result: LaunchReport): void {
  reported = true;
  try {
    writeSync(REPORT_FD, JSON.stringify(result));
    closeSync(REPORT_FD);
  } catch {
    // Who started us has gone; the container goes on without.
  }
}

try {
  const spec = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as LaunchSpec;
  if (spec.kind === "container") buildRoot(spec);
  else joinMountNamespace(spec.pid);
  const command = prepareProcess(spec.process);
  report({});
  await runProcess(spec.process, command);
} catch (err) {
  // Once the program has begun this is its own failure, and its log the place to say so.
  if (reported) throw err;
  report({ error: { kind: err instanceof CommandError ? "command" : "setup", message: errorMessage(err) } });
  process.exit(EXIT_LAUNCH_FAILED);
}
