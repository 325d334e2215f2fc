// Files that change all at once: they are in a directory of their own, `..data` is a link to it, and each visible name a link through
// `..data`. After `pkg/volume/util/atomic_writer.go`, whose layout programs know that watch `..data`.
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Payload } from "./payload.ts";

const DATA = "..data";

/** Makes `dir` show `payload`; returns false when it does already. */
export function writeAtomically(dir: string, payload: Payload): boolean {
  mkdirSync(dir, { recursive: true });
  const current = linkTarget(`${dir}/${DATA}`);
  if (current !== undefined && isSame(`${dir}/${current}`, payload)) return false;

  const stamp = `..${new Date().toISOString().replace(/[-:TZ]/g, "_")}${Math.floor(Math.random() * 1e9)}`;
  const fresh = `${dir}/${stamp}`;
  mkdirSync(fresh);
  for (const [path, { bytes, mode }] of payload) {
    mkdirSync(dirname(`${fresh}/${path}`), { recursive: true });
    writeFileSync(`${fresh}/${path}`, bytes);
    // Not by writeFile's mode: the umask must not matter.
    chmodSync(`${fresh}/${path}`, mode);
  }
  symlinkSync(stamp, `${dir}/${DATA}_tmp`);
  renameSync(`${dir}/${DATA}_tmp`, `${dir}/${DATA}`);

  const visible = new Set([...payload.keys()].map((path) => path.split("/")[0] ?? path));
  for (const name of readdirSync(dir)) {
    if (!name.startsWith("..") && !visible.has(name)) rmSync(`${dir}/${name}`, { force: true });
  }
  for (const name of visible) {
    if (linkTarget(`${dir}/${name}`) === undefined) symlinkSync(`${DATA}/${name}`, `${dir}/${name}`);
  }
  if (current !== undefined) rmSync(`${dir}/${current}`, { recursive: true, force: true });
  return true;
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function isSame(dir: string, payload: Payload): boolean {
  const paths = listFiles(dir, "");
  if (paths.length !== payload.size) return false;
  return paths.every((path) => {
    const file = payload.get(path);
    return (
      file !== undefined && (statSync(`${dir}/${path}`).mode & 0o7777) === file.mode && readFileSync(`${dir}/${path}`).equals(file.bytes)
    );
  });
}

function listFiles(dir: string, prefix: string): string[] {
  return readdirSync(`${dir}/${prefix}`, { withFileTypes: true }).flatMap((entry) => {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    return entry.isDirectory() ? listFiles(dir, path) : [path];
  });
}
