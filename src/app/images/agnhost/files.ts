// The subcommands that read a file, print something, or wait.
import { readFileSync } from "node:fs";
import { FlagError, parseDuration, parseFlags } from "./flags.ts";

/** The words after `keyword` of the first line that starts with it. */
function resolvConfWords(keyword: string): string {
  const line = readFileSync("/etc/resolv.conf", "utf8")
    .split("\n")
    .find((candidate) => candidate.startsWith(keyword));
  if (line === undefined) throw new Error(`/etc/resolv.conf has no "${keyword}" line`);
  return line.split(" ").slice(1).join(",");
}

export function dnsSuffix(): void {
  process.stdout.write(`${resolvConfWords("search")}\n`);
}

export function dnsServerList(): void {
  process.stdout.write(`${resolvConfWords("nameserver")}\n`);
}

export function etcHosts(): void {
  process.stdout.write(`${readFileSync("/etc/hosts", "utf8")}\n`);
}

/** Prints the whole command line as Go prints a list of strings. */
export function entrypointTester(args: readonly string[]): void {
  process.stdout.write(`[${["/agnhost", "entrypoint-tester", ...args].join(" ")}]\n`);
}

/** Ends with code 2 on SIGTERM and 1 on SIGINT, as the original. */
export function pause(): void {
  process.stdout.write("Paused\n");
  process.removeAllListeners("SIGINT");
  process.on("SIGINT", () => process.exit(1));
  // A signal handler alone does not keep the program running.
  setInterval(() => {}, 2 ** 31 - 1);
}

const METHODS = ["GET", "POST", "PUT"] as const;
const NAMESPACES = ["kube-system", "default", "ns"] as const;

export async function logsGenerator(args: readonly string[]): Promise<void> {
  const { values } = parseFlags(args, { "log-lines-total": 0, "run-duration": "0" }, { t: "log-lines-total", d: "run-duration" });
  const total = values["log-lines-total"];
  const durationMs = parseDuration(values["run-duration"]) ?? 0;
  if (total <= 0) throw new FlagError(`Invalid total number of lines: ${total}`);
  if (durationMs <= 0) throw new FlagError(`Invalid duration: ${values["run-duration"]}`);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(Math.random() * list.length)];
  const started = performance.now();
  for (let id = 0; id < total; id++) {
    const name = Math.random().toString(36).slice(2, 6);
    const status = 200 + Math.floor(Math.random() * 400);
    process.stdout.write(
      `${new Date().toISOString()} ${id} ${pick(METHODS)} /api/v1/namespaces/${pick(NAMESPACES)}/pods/${name} ${status}\n`,
    );
    const waitMs = started + ((id + 1) * durationMs) / total - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
