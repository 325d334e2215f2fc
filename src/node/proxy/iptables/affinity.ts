// Clients that are remembered, as xt_recent shows them in /proc.
import { readdirSync, readFileSync } from "node:fs";
import { errorCode } from "#base";
import { type Addr, tryParseAddr } from "#ip";
import { type NetNs, ticksPerSecond } from "#linux";

/** Of the calling thread's network namespace; /proc/net is that of the process's first thread. */
const LISTS = "/proc/thread-self/net/xt_recent";

export interface RememberedClient {
  readonly client: Addr;
  /** Since its last new connection. Within a second, which is how far the kernel's ticks may have been behind its clock at boot. */
  readonly ageMs: number;
}

/** Lists of clients by name, of those that `isWanted`. */
export function readLists(netns: NetNs | undefined, isWanted: (name: string) => boolean): Map<string, RememberedClient[]> {
  const clock = { ticksPerSecond: ticksPerSecond(), uptimeMs: Number(process.hrtime.bigint() / 1_000_000n) };
  const read = (): Map<string, RememberedClient[]> => {
    const out = new Map<string, RememberedClient[]>();
    for (const name of namesIn(LISTS).filter(isWanted)) out.set(name, parseList(textOf(`${LISTS}/${name}`), clock));
    return out;
  };
  return netns === undefined ? read() : netns.run(read);
}

interface Clock {
  readonly ticksPerSecond: number;
  /** CLOCK_MONOTONIC: like jiffies it stands still while the machine sleeps. */
  readonly uptimeMs: number;
}

/** Jiffies begin five minutes before 32 bits run over (linux/jiffies.h, INITIAL_JIFFIES). */
const FIRST_SECONDS = -300;

/** One line per client: `src=10.244.1.2 ttl: 64 last_seen: 4295123456 oldest_pkt: 1 4295123456`, times in jiffies. */
export function parseList(text: string, clock: Clock): RememberedClient[] {
  return [...text.matchAll(/^src=(\S+) .*?last_seen: (\d+)/gm)].flatMap(([, addr = "", seen]) => {
    const client = tryParseAddr(addr);
    const seenMs = ((Number(seen) - 2 ** 32) / clock.ticksPerSecond - FIRST_SECONDS) * 1000;
    return client === undefined ? [] : [{ client, ageMs: Math.max(0, Math.round(clock.uptimeMs - seenMs)) }];
  });
}

/** The module may not be there, and a list may go any time. */
function unlessGone<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (err) {
    if (errorCode(err) === "ENOENT") return otherwise;
    throw err;
  }
}

function namesIn(directory: string): string[] {
  return unlessGone(() => readdirSync(directory), []);
}

function textOf(path: string): string {
  return unlessGone(() => readFileSync(path, "utf8"), "");
}
