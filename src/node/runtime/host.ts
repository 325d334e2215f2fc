// What the runtime must know of the node before it can plan a container's root.
import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { type IdMaps, parseIdMap } from "./identity.ts";
import { ETC_ENTRIES, type HostEntry, type HostLayout, SYSTEM_DIRS } from "./rootfs.ts";

export function readHostLayout(): HostLayout {
  const entries = [...SYSTEM_DIRS, ...ETC_ENTRIES].map(readEntry);
  return { entries: entries.filter((entry) => entry !== undefined) };
}

function readEntry(path: string): HostEntry | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  return stat.isSymbolicLink() ? { path, symlink: readlinkSync(path) } : { path };
}

export function readIdMaps(): IdMaps {
  return { uids: parseIdMap(readFileSync("/proc/self/uid_map", "utf8")), gids: parseIdMap(readFileSync("/proc/self/gid_map", "utf8")) };
}
