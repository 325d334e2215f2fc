// From the launcher to the container's own program: identity, working directory, environment, and the step over.
import { accessSync, constants, mkdirSync, readFileSync, statSync } from "node:fs";
import { CAPABILITIES, type Capability, dropCapabilities, restoreSignal, setControllingTerminal, setNoNewPrivileges } from "#linux";
import type { ProcessSpec } from "#runtime";

/** The command itself is at fault, not its surroundings. */
export class CommandError extends Error {}

/** Signals that Node ignores and that a program expects to be fatal. */
const SIGPIPE = 13;
const SIGXFSZ = 25;

/** Does everything that can fail. Returns the file to execute. */
export function prepareProcess(spec: ProcessSpec): string {
  if (spec.tty) setControllingTerminal(0);
  changeDirectory(spec.cwd);
  if (spec.noNewPrivs) setNoNewPrivileges();
  const { uid, gid, groups } = spec.user;
  const command = spec.program ?? findCommand(spec.argv[0] ?? "", spec.env["PATH"] ?? "");
  if (uid === 0 && gid === 0) {
    if (process.getgroups?.().some((group) => group !== 0) === true || groups.length > 0) trySetGroups(groups);
    dropCapabilities(present(spec.capabilities));
    return command;
  }
  trySetGroups(groups);
  process.setgid?.(gid);
  // The bounding set first: it takes CAP_SETPCAP, which goes away with uid 0. The effective set goes then too, by the kernel's rules.
  dropCapabilities(present([...new Set([...spec.capabilities, "CAP_SETUID" as const])]));
  process.setuid?.(uid);
  return command;
}

/** What this machine lets root have; asking for more is refused as a whole. */
function present(capabilities: readonly Capability[]): Capability[] {
  const [, hex = "0"] = /^CapPrm:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  const permitted = BigInt(`0x${hex}`);
  return capabilities.filter((name) => (permitted >> BigInt(CAPABILITIES.indexOf(name))) & 1n);
}

/** A user namespace of an ordinary user does not allow it (user_namespaces(7), setgroups "deny"): the groups stay as they are. */
function trySetGroups(groups: readonly number[]): void {
  try {
    process.setgroups?.([...groups]);
  } catch {
    // Nothing is gained or lost: unmapped groups give no rights inside.
  }
}

function changeDirectory(cwd: string): void {
  try {
    mkdirSync(cwd, { recursive: true });
  } catch {
    // It is there already, or chdir says what is wrong.
  }
  try {
    process.chdir(cwd);
  } catch (err) {
    throw new CommandError(`cannot change to the working directory ${cwd}: ${String(err)}`);
  }
}

/** As execvp(3) looks for it; the words are runc's. */
function findCommand(name: string, path: string): string {
  if (name === "") throw new CommandError("no command specified");
  const candidates = name.includes("/") ? [name] : path.split(":").map((dir) => `${dir === "" ? "." : dir}/${name}`);
  let problem = name.includes("/") ? `stat ${name}: no such file or directory` : "executable file not found in $PATH";
  for (const candidate of candidates) {
    const stat = statSync(candidate, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isFile() && isExecutable(candidate)) return candidate;
    problem = stat.isDirectory() ? "is a directory" : "permission denied";
  }
  throw new CommandError(`exec: "${name}": ${problem}`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Becomes the program. Returns only for a program of ours, once its module has been run. */
export async function runProcess(spec: ProcessSpec, command: string): Promise<void> {
  if (spec.program === undefined) {
    restoreSignal(SIGPIPE);
    restoreSignal(SIGXFSZ);
    process.execve?.(command, [...spec.argv], { ...spec.env });
    throw new CommandError(`exec: "${command}": this Node has no process.execve`);
  }
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, spec.env);
  process.argv = [process.execPath, spec.program, ...spec.argv.slice(1)];
  process.title = spec.argv.join(" ");
  await import(spec.program);
}
