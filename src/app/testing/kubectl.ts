// The kubectl binaries of this machine: the one on the PATH and, beside it, those of other versions (`kubectl.1.27` …).
import { execFileSync } from "node:child_process";
import { readdirSync, realpathSync } from "node:fs";
import { dirname } from "node:path";

export interface Kubectl {
  readonly path: string;
  /** Such as `v1.31.2`. */
  readonly version: string;
}

/** One for each version; empty when there is no kubectl. */
export function findKubectls(): Kubectl[] {
  let first: string;
  try {
    first = realpathSync(execFileSync("sh", ["-c", "command -v kubectl"], { encoding: "utf8" }).trim());
  } catch {
    return [];
  }
  const dir = dirname(first);
  const paths = readdirSync(dir).filter((name) => /^kubectl(\.1\.\d+)?$/.test(name));
  const found = new Map<string, string>();
  for (const path of paths.sort().reverse()) {
    const text = execFileSync(`${dir}/${path}`, ["version", "--client", "-o", "json"], { encoding: "utf8" });
    const { clientVersion } = JSON.parse(text) as { clientVersion: { gitVersion: string } };
    if (!found.has(clientVersion.gitVersion)) found.set(clientVersion.gitVersion, `${dir}/${path}`);
  }
  return [...found]
    .map(([version, path]) => ({ version, path }))
    .sort((a, b) => a.version.localeCompare(b.version, "en", { numeric: true }));
}
