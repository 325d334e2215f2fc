// The host's side of a sandboxed cluster: starts the sandbox, publishes the API and the NodePorts on the host's loopback, and cleans
// up when the sandbox ends. It holds the lifeline: when this process dies, so does everything inside.
// usage: supervisor --home DIR --options JSON --api-port N [--progress-fd N]
import { type ChildProcess, spawn } from "node:child_process";
import { openSync, rmSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { errorMessage } from "#base";
import { clusterPaths, openProgress } from "#sandbox";
import { createLogger } from "../log.ts";
import { publishApi, publishNodePorts } from "./publish.ts";
import { writeState } from "./state.ts";

const { values } = parseArgs({
  options: {
    home: { type: "string", default: "" },
    options: { type: "string", default: "" },
    "api-port": { type: "string", default: "0" },
    "progress-fd": { type: "string" },
  },
});
const paths = clusterPaths(values.home);
const logger = createLogger("supervisor");
const progressFd = values["progress-fd"] === undefined ? undefined : Number(values["progress-fd"]);
const progress = openProgress(progressFd);

try {
  const apiPort = await publishApi(Number(values["api-port"]), paths.apiSocket);
  const sandbox = startSandbox();
  writeState(paths.state, { options: JSON.parse(values.options), pid: process.pid, sandboxParentPid: sandbox.pid ?? 0, apiPort });
  progress.send({ type: "api-port", port: apiPort });
  progress.close();
  publishNodePorts(paths.controlSocket, logger);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => sandbox.stdin?.destroy());
} catch (err) {
  progress.send({ type: "error", message: errorMessage(err) });
  process.exit(1);
}

function startSandbox(): ChildProcess {
  const log = openSync(`${paths.logs}/sandbox.log`, "a");
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const namespaces = ["--net", "--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const program = [process.execPath, "--max-semi-space-size=2", `${import.meta.dirname}/sandbox.js`];
  const args = ["--home", values.home, "--options", values.options, ...(progressFd === undefined ? [] : ["--progress-fd", "3"])];
  const child = spawn("unshare", [...user, ...namespaces, "--", ...program, ...args], {
    stdio: ["pipe", log, log, progressFd ?? "ignore"],
  });
  child.once("error", (err) => {
    progress.send({ type: "error", message: `cannot start unshare (package util-linux): ${err.message}` });
    process.exit(1);
  });
  child.once("exit", (code, signal) => {
    logger.info("the sandbox ended", { code, signal });
    rmSync(paths.run, { recursive: true, force: true });
    process.exit(0);
  });
  // The pipe is only a lifeline: nothing is written, and its end's early death is no error of ours.
  child.stdin?.on("error", () => {});
  return child;
}

process.on("exit", () => {
  try {
    writeFileSync(`${values.home}/ended`, "");
  } catch {
    // The directory is gone: somebody removed the cluster.
  }
});
