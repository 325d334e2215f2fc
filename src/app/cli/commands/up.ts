// `fairlead up`: starts a cluster and waits until it can be used.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { stringify } from "yaml";
import { errorMessage, FairleadError, InputError } from "#base";
import { type ClusterOptions, clusterPaths, parseProgress, planCluster } from "#sandbox";
import { clusterHome, DEFAULT_NAME, fairleadHome, findCluster, startingFile } from "../home.ts";
import { base64, kubeconfig, writePki } from "../pki.ts";
import { checkProxyMode, preflight } from "../preflight.ts";
import { createSteps, paint, type Steps } from "../terminal.ts";
import { removeCluster } from "./down.ts";

export interface UpOptions extends ClusterOptions {
  /** 0: a free one. */
  readonly apiPort: number;
  readonly foreground: boolean;
}

/** Without progress for so long, `up` gives up; what has been started stays for a look at its logs. */
const PATIENCE_MS = 60_000;

export async function up(options: UpOptions): Promise<void> {
  await startCluster(options);
  tellWhatNext(options.name);
  if (options.foreground) await stayInForeground(options.name);
}

/** Starts it, and returns when it can be used. */
export async function startCluster(options: ClusterOptions & { readonly apiPort: number }): Promise<void> {
  const steps = createSteps(performance.timeOrigin);
  preflight();
  await checkProxyMode(options.proxyMode ?? "nftables");
  const home = await claimHome(options.name);
  steps.waiting("starting the sandbox");
  await removedWhenInterrupted(options.name, () => startIn(home, options, steps));
}

async function startIn(home: string, options: ClusterOptions & { readonly apiPort: number }, steps: Steps): Promise<void> {
  const { name, nodes, ipFamily, overlay, proxyMode = "nftables", policyEstablished = "cut" } = options;
  const cluster: ClusterOptions = { name, nodes, ipFamily, overlay, proxyMode, policyEstablished };
  const progress = startSupervisor(home, cluster, options.apiPort);
  const [credentials, server] = await Promise.all([
    writePki(planCluster(cluster), home),
    followProgress(progress, "api-port", steps, home),
  ]).catch(async (err: unknown) => {
    await removeCluster(name);
    throw err;
  });
  const user = { "client-certificate-data": base64(credentials.certificate), "client-key-data": base64(credentials.key) };
  const config = kubeconfig(`fairlead-${name}`, { server: `https://127.0.0.1:${server}`, ca: credentials.ca }, user);
  writeFileSync(clusterPaths(home).kubeconfig, stringify(config), { mode: 0o600 });
  await followProgress(progress, "ready", steps, home).finally(() => progress.close());
  rmSync(startingFile(home));
}

/** Ctrl-C in the middle of `work` leaves nothing of the cluster, whose end makes `work` fail: that is not worth an error then. */
export async function removedWhenInterrupted(name: string, work: () => Promise<void>): Promise<void> {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  let interrupted = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (interrupted) return;
    interrupted = true;
    removeCluster(name)
      .then(
        () => process.stderr.write(`\ninterrupted; the cluster ${name} is removed\n`),
        (err: unknown) => process.stderr.write(`\ninterrupted; cannot remove what was started: ${errorMessage(err)}\n`),
      )
      .finally(() => process.exit(128 + (constants.signals[signal] ?? 0)));
  };
  for (const signal of signals) process.on(signal, onSignal);
  try {
    await work();
  } catch (err) {
    if (!interrupted) throw err;
  }
  if (interrupted) await new Promise<never>(() => {});
  for (const signal of signals) process.off(signal, onSignal);
}

/** The commands are those of a clone, where `fairlead` is in no PATH. */
export function tellWhatNext(name: string): void {
  const chosen = name === DEFAULT_NAME ? "" : ` --name ${name}`;
  process.stderr.write(`\nThe cluster ${paint("bold", name, process.stderr)} is up. Try:\n`);
  process.stderr.write(`  export KUBECONFIG=${clusterPaths(clusterHome(name)).kubeconfig}\n`);
  process.stderr.write(`  kubectl get pods -A -o wide        (or: ./fairlead get pods -A${chosen})\n`);
}

/** Makes the cluster's directory. One that a dead cluster left is removed first. */
async function claimHome(name: string): Promise<string> {
  const existing = findCluster(name);
  if (existing?.running === true) {
    throw new FairleadError(`a cluster named "${name}" is running. Stop it with "fairlead down --name ${name}" or choose another --name`, {
      code: "NameInUse",
    });
  }
  const home = clusterHome(name);
  if (existing !== undefined && isBeingStarted(home)) {
    throw new FairleadError(`a cluster named "${name}" is being started by another command`, { code: "NameInUse" });
  }
  if (existing !== undefined) await removeCluster(name);
  if (existsSync(home)) {
    throw new FairleadError(`${home} is there already and is not a cluster. Choose another --name or FAIRLEAD_HOME`, { code: "NameInUse" });
  }
  checkSocketPath(clusterPaths(home).apiSocket);
  mkdirSync(home, { recursive: true, mode: 0o700 });
  writeFileSync(startingFile(home), String(process.pid));
  mkdirSync(clusterPaths(home).logs);
  return home;
}

function isBeingStarted(home: string): boolean {
  try {
    return process.kill(Number(readFileSync(startingFile(home), "utf8")), 0);
  } catch {
    return false;
  }
}

/** The longest path of a Unix socket (unix(7), sun_path, with its end). */
const MAX_SOCKET_PATH = 107;

function checkSocketPath(path: string): void {
  if (path.length <= MAX_SOCKET_PATH) return;
  throw new InputError(
    "FAIRLEAD_HOME",
    `"${fairleadHome()}" is too long: the socket ${path} may have ${MAX_SOCKET_PATH} characters, and has ${path.length}`,
  );
}

interface Progress {
  readonly lines: AsyncIterator<string>;
  /** Has to be called: unshare(1), which waits for the sandbox, holds the pipe too, so it does not end by itself. */
  close(): void;
}

function startSupervisor(home: string, cluster: ClusterOptions, apiPort: number): Progress {
  const log = openSync(`${clusterPaths(home).logs}/supervisor.log`, "a");
  const args = ["--home", home, "--options", JSON.stringify(cluster), "--api-port", String(apiPort), "--progress-fd", "3"];
  const child = spawn(process.execPath, ["--max-semi-space-size=2", `${import.meta.dirname}/supervisor.js`, ...args], {
    stdio: ["ignore", log, log, "pipe"],
    detached: true,
    cwd: "/",
  });
  child.unref();
  const pipe = child.stdio[3] as Readable;
  return {
    lines: createInterface({ input: pipe })[Symbol.asyncIterator](),
    close: () => pipe.destroy(),
  };
}

/** Reads progress until the API's port is known (and returns it) or until the cluster is ready. */
async function followProgress(progress: Progress, until: "api-port" | "ready", steps: Steps, home: string): Promise<number> {
  for (;;) {
    const next = await withPatience(progress.lines.next(), home);
    if (next.done === true) throw new FairleadError(`the sandbox ended while it started; ${lastLog(home)}`, { code: "StartFailed" });
    const event = parseProgress(next.value);
    if (event?.type === "error") throw new FairleadError(event.message, { code: "StartFailed" });
    if (event?.type === "step") steps.done(event.step);
    if (event?.type === "api-port" && until === "api-port") return event.port;
    if (event?.type === "ready") return 0;
  }
}

async function withPatience<T>(promise: Promise<T>, home: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      reject(
        new FairleadError(`no progress for ${PATIENCE_MS / 1000} s; see the logs in ${clusterPaths(home).logs}`, { code: "ETIMEDOUT" }),
      ),
    PATIENCE_MS,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const LOG_TAIL = 12;

/** The end of the first log that has one: a start that fails leaves nothing else. */
function lastLog(home: string): string {
  for (const file of ["sandbox.log", "supervisor.log"]) {
    const path = `${clusterPaths(home).logs}/${file}`;
    const text = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
    if (text !== "") return `its log ends with\n${text.split("\n").slice(-LOG_TAIL).join("\n")}`;
  }
  return "its logs are empty";
}

async function stayInForeground(name: string): Promise<void> {
  process.stderr.write("\nPress Ctrl-C to stop it.\n");
  const ended = new Promise<string>((resolve) => {
    const timer = setInterval(() => {
      if (findCluster(name)?.running !== true) resolve("it ended");
    }, 1_000);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve(signal));
    process.once("exit", () => clearInterval(timer));
  });
  const why = await ended;
  try {
    await removeCluster(name);
  } catch (err) {
    throw new FairleadError(`${why}, and cannot be removed: ${errorMessage(err)}`, { code: "RemoveFailed", cause: err });
  }
  rmSync(clusterHome(name), { recursive: true, force: true });
  process.exit(why === "it ended" ? 1 : 0);
}
