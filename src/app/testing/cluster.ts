// A cluster for end-to-end tests, started by the command that users start, in a home of its own, and removed whatever happens.
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { parse } from "yaml";
import { createHttpClient, type HttpClient, loadKubeconfig } from "#client";
import { clusterPaths } from "#sandbox";
import { sandboxPids } from "../cli/processes.ts";
import { readState } from "../supervisor/state.ts";

const run = promisify(execFile);

export const ROOT: string = new URL("../../..", import.meta.url).pathname;

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; a failure is a result, not an error. */
export async function command(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<CommandResult> {
  try {
    const { stdout, stderr } = await run(file, args, { env, maxBuffer: 1 << 26, cwd: "/" });
    return { code: 0, stdout, stderr };
  } catch (err) {
    const failed = err as { code?: number | string; stdout?: string; stderr?: string; message: string };
    const code = typeof failed.code === "number" ? failed.code : 1;
    return {
      code,
      stdout: failed.stdout ?? "",
      stderr: failed.stderr === undefined || failed.stderr === "" ? failed.message : failed.stderr,
    };
  }
}

export interface TestCluster extends AsyncDisposable {
  readonly name: string;
  readonly home: string;
  readonly client: HttpClient;
  /** Of the environment: FAIRLEAD_HOME and KUBECONFIG are set. */
  readonly env: NodeJS.ProcessEnv;
  /** `fairlead VERB ARGS`, for this cluster's home. */
  fairlead(verb: string, ...args: string[]): Promise<CommandResult>;
  /** Runs a command in a network namespace of the sandbox: a node, `outside`, or the path of a namespace's file inside. */
  inside(namespace: string, file: string, ...args: string[]): Promise<CommandResult>;
  /** The same, while it runs. */
  spawnInside(namespace: string, file: string, ...args: string[]): ChildProcess;
  /** The host's pid of the sandbox's first process. */
  sandboxPid(): number;
}

export interface TestClusterOptions {
  readonly name?: string;
  readonly flags?: readonly string[];
}

export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const name = options.name ?? `test-${process.pid}`;
  const fairleadHome = mkdtempSync(`${tmpdir()}/fairlead-`);
  const home = `${fairleadHome}/${name}`;
  const env = { ...process.env, FAIRLEAD_HOME: fairleadHome, KUBECONFIG: clusterPaths(home).kubeconfig };
  const fairlead = (...args: string[]): Promise<CommandResult> => command(`${ROOT}fairlead`, args, env);
  // A test that never ends is ended from outside (scripts/deadline.ts): also then nothing stays.
  const removeNow = (): void => {
    if (existsSync(home)) spawnSync(`${ROOT}fairlead`, ["down", "--name", name], { env, stdio: "ignore" });
    rmSync(fairleadHome, { recursive: true, force: true });
  };
  process.once("exit", removeNow);
  const remove = async (): Promise<void> => {
    if (existsSync(home)) await fairlead("down", "--name", name);
    rmSync(fairleadHome, { recursive: true, force: true });
    process.off("exit", removeNow);
  };
  const up = await fairlead("up", "--name", name, ...(options.flags ?? []));
  if (up.code !== 0) {
    const logs = existsSync(clusterPaths(home).logs) ? await command("sh", ["-c", `tail -n 5 ${clusterPaths(home).logs}/*`]) : undefined;
    await remove();
    throw new Error(`fairlead up failed: ${up.stderr}\n${logs?.stdout ?? ""}`);
  }
  return attach(name, home, { env, fairlead, remove });
}

function attach(
  name: string,
  home: string,
  own: Pick<TestCluster, "env" | "fairlead"> & { readonly remove: () => Promise<void> },
): TestCluster {
  const paths = clusterPaths(home);
  const config = loadKubeconfig(JSON.stringify(parse(readFileSync(paths.kubeconfig, "utf8"))));
  const client = createHttpClient({ ...config, socketPath: paths.apiSocket });
  const sandboxPid = (): number => sandboxPids(readState(paths.state)?.sandboxParentPid ?? 0).get(1) ?? 0;
  // Two steps: the namespaces' files are mounted inside the sandbox's mount namespace only.
  const enter = (namespace: string): string[] => [
    ...["--target", String(sandboxPid()), "--mount", "--pid", ...(process.getuid?.() === 0 ? [] : ["--user", "--preserve-credentials"])],
    ...["--", "nsenter", `--net=${namespace.startsWith("/") ? namespace : `${paths.run}/netns/${namespace}`}`, "--"],
  ];
  return {
    name,
    home,
    client,
    env: own.env,
    fairlead: (verb, ...args) => own.fairlead(verb, "--name", name, ...args),
    inside: (namespace, file, ...args) => command("nsenter", [...enter(namespace), file, ...args]),
    spawnInside: (namespace, file, ...args) =>
      spawn("nsenter", [...enter(namespace), file, ...args], { stdio: ["pipe", "pipe", "inherit"] }),
    sandboxPid,
    async [Symbol.asyncDispose]() {
      client.close();
      await own.remove();
    },
  };
}
