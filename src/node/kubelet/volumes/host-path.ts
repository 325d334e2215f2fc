import { lstatSync, mkdirSync, type Stats, statSync, writeFileSync } from "node:fs";
import { VolumeError } from "./payload.ts";

/** What each `hostPath.type` asks for (`pkg/volume/hostpath/host_path.go`). */
const CHECKS: Readonly<Record<string, { readonly is: (stat: Stats) => boolean; readonly what: string }>> = {
  Directory: { is: (stat) => stat.isDirectory(), what: "a directory" },
  File: { is: (stat) => stat.isFile(), what: "a file" },
  Socket: { is: (stat) => stat.isSocket(), what: "a socket file" },
  CharDevice: { is: (stat) => stat.isCharacterDevice(), what: "a character device" },
  BlockDevice: { is: (stat) => stat.isBlockDevice(), what: "a block device" },
};

/** Makes or checks a `hostPath`; throws VolumeError when it is not what its type says. */
export function prepareHostPath(path: string, type: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (type === "DirectoryOrCreate" && stat === undefined) mkdirSync(path, { recursive: true, mode: 0o755 });
  else if (type === "FileOrCreate" && stat === undefined) writeFileSync(path, "", { mode: 0o644 });
  else if (type === "" && stat === undefined) createAsDirectory(path);
  const check = CHECKS[type.replace(/OrCreate$/, "")];
  if (check === undefined) return;
  const now = statSync(path, { throwIfNoEntry: false });
  if (now === undefined || !check.is(now)) throw new VolumeError(`hostPath type check failed: ${path} is not ${check.what}`);
}

/** Without a type nothing is checked, and container runtimes make the directory. */
function createAsDirectory(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) mkdirSync(path, { recursive: true });
}
