// Debian's iptables programs, started in the node's network namespace. Nothing else in the product starts a program for the kernel's
// tables: legacy iptables has no other stable interface (iptables FAQ 4.5), and rules of the nf_tables variant are only half of what it reads.
import type { ChildProcess } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { errorCode, FairleadError } from "#base";
import type { Family } from "#ip";
import { type NetNs, spawnIn } from "#linux";
import type { TableName } from "./rules.ts";

/** What the dataplane needs of iptables. */
export interface Iptables {
  /** Rejects with FairleadError that names the line; then nothing of its table has changed. */
  restore(family: Family, text: string): Promise<void>;
  /** All chains of a table, foreign ones too. */
  save(family: Family, table: TableName): Promise<string>;
}

/** Of FairleadError when the programs are not installed. */
export const IPTABLES_MISSING = "IptablesMissing";

/** Of FairleadError when the kernel takes less than all at once: nf_tables, from a user namespace (netlink(7), SO_SNDBUFFORCE). */
export const TOO_LONG = "IptablesTooLong";

const COMMANDS: Readonly<Record<Family, string>> = { 4: "iptables", 6: "ip6tables" };

/** How long to wait for other programs that hold the lock. */
const WAIT_SECONDS = 30;

/** Where Debian and others have them, for programs that are started with a user's PATH. */
const USUAL: readonly string[] = ["/usr/sbin", "/sbin"];

/** Throws FairleadError with code IPTABLES_MISSING. */
export function openIptables(netns: NetNs | undefined): Iptables {
  const paths = new Map<string, string>();
  for (const family of [4, 6] as const) {
    for (const what of ["restore", "save"]) paths.set(`${what}${family}`, find(`${COMMANDS[family]}-${what}`));
  }
  const env = { ...process.env, ...lockEnv() };
  const run = (command: string, args: readonly string[], input: string): Promise<Finished> => {
    const child = spawnIn(command, args, { ...(netns && { netns }), env, stdio: ["pipe", "pipe", "pipe"] });
    return finished(child, input);
  };
  return {
    async restore(family, text) {
      const command = paths.get(`restore${family}`) ?? "";
      const args = ["--noflush", "--wait", String(WAIT_SECONDS)];
      const { code, stderr } = await run(command, args, text);
      if (code !== 0) throw restoreError(`${COMMANDS[family]}-restore`, text, { code, stderr });
    },
    async save(family, table) {
      const { code, stdout, stderr } = await run(paths.get(`save${family}`) ?? "", ["-t", table], "");
      if (code === 0) return stdout;
      const name = `${COMMANDS[family]}-save`;
      throw new FairleadError(`Cannot read the rules of table ${table}: ${name} -t ${table} ended with ${code}: ${brief(stderr)}`, {
        code: "IptablesSave",
        op: name,
        facts: { table, exitCode: code, stderr },
      });
    },
  };
}

function find(name: string): string {
  for (const directory of [...(process.env["PATH"] ?? "").split(delimiter), ...USUAL]) {
    if (directory === "") continue;
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  throw new FairleadError(
    `Cannot use proxy mode iptables: there is no program ${name} in PATH, ${USUAL.join(" or ")}; install the package "iptables", or use mode nftables`,
    { code: IPTABLES_MISSING, op: "find iptables", facts: { program: name } },
  );
}

const LOCK = "/run/xtables.lock";

/**
 * Legacy iptables reads a table, changes it and writes it back, and locks this file meanwhile. Who may not open it (in a user namespace
 * the machine's root is nobody) needs another one. /dev/null can be locked as any file, and is never left behind.
 */
function lockEnv(): Readonly<Record<string, string>> {
  try {
    accessSync(LOCK, constants.R_OK);
    return {};
  } catch (err) {
    if (errorCode(err) === "ENOENT" && mayMake(LOCK)) return {};
    return { XTABLES_LOCKFILE: "/dev/null" };
  }
}

function mayMake(path: string): boolean {
  try {
    accessSync(join(path, ".."), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

interface Finished {
  /** As a shell tells it; for one ended by a signal its name. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

function finished(child: ChildProcess, input: string): Promise<Finished> {
  const { promise, resolve, reject } = Promise.withResolvers<Finished>();
  const out: string[] = [];
  const err: string[] = [];
  child.stdout?.setEncoding("utf8").on("data", (part: string) => out.push(part));
  child.stderr?.setEncoding("utf8").on("data", (part: string) => err.push(part));
  child.once("error", reject);
  child.once("close", (code, signal) => resolve({ code: code ?? signal ?? "no status", stdout: out.join(""), stderr: err.join("") }));
  // It may end before it has read all; what it says then counts.
  child.stdin?.on("error", () => {});
  child.stdin?.end(input);
  return promise;
}

/** "line 7 failed", "Error occurred at line: 7", "line 7: CHAIN_DEL failed (…)". */
function restoreError(name: string, text: string, { code, stderr }: Omit<Finished, "stdout">): FairleadError {
  const number = /\bline:? (\d+)/.exec(stderr)?.[1];
  const line = number === undefined ? undefined : text.split("\n")[Number(number) - 1];
  const at = line === undefined ? "" : ` at line ${number}, "${line}"`;
  return new FairleadError(`Cannot write the service rules: ${name} ended with ${code}${at}: ${brief(stderr)}`, {
    code: stderr.includes("Message too long") ? TOO_LONG : "IptablesRestore",
    op: name,
    facts: { exitCode: code, stderr, ...(line !== undefined && { line: Number(number), text: line }) },
  });
}

/** Without the invitation to read the manual. */
function brief(stderr: string): string {
  const lines = stderr
    .split("\n")
    .filter((line) => line.trim() !== "" && !/^(Try|Error occurred)/.test(line) && !line.startsWith("# Warning"));
  return lines.join(" ") || "it says nothing";
}
