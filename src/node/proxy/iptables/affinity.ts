// Clients that are remembered, as xt_recent shows them in /proc.
import { readdirSync, readFileSync } from "node:fs";
import { errorCode } from "#base";
import { type Addr, tryParseAddr } from "#ip";
import type { NetNs } from "#linux";

/** Of the calling thread's network namespace; /proc/net is that of the process's first thread. */
const LISTS = "/proc/thread-self/net/xt_recent";

/** Lists of clients by name, of those that `isWanted`. */
export function readLists(netns: NetNs | undefined, isWanted: (name: string) => boolean): Map<string, Addr[]> {
  const read = (): Map<string, Addr[]> => {
    const out = new Map<string, Addr[]>();
    for (const name of namesIn(LISTS).filter(isWanted)) out.set(name, parseList(textOf(`${LISTS}/${name}`)));
    return out;
  };
  return netns === undefined ? read() : netns.run(read);
}

/** One line per client: `src=10.244.1.2 ttl: 64 last_seen: 4295123456 oldest_pkt: 1 4295123456`, times in jiffies. */
export function parseList(text: string): Addr[] {
  return [...text.matchAll(/^src=(\S+)/gm)].flatMap(([, addr = ""]) => tryParseAddr(addr) ?? []);
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
