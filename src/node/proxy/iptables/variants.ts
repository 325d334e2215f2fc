// The two iptables that a machine may have, each for a file of tests: `nft` writes rules of nf_tables, `legacy` those of ip_tables.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";

/** Runs `cases` with this variant in front of all others in PATH; where it cannot be, one test that is skipped says why. */
export function withVariant(variant: "nft" | "legacy", cases: () => void): void {
  const path = process.env["PATH"] ?? "";
  const directory = mkdtempSync(join(tmpdir(), `fairlead-iptables-${variant}-`));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const missing: string[] = [];
  for (const command of ["iptables", "ip6tables"]) {
    for (const what of ["restore", "save"]) {
      const name = `${command}-${variant}-${what}`;
      const found = [...path.split(delimiter), "/usr/sbin", "/sbin"].map((each) => join(each, name)).find((file) => existsSync(file));
      if (found === undefined) missing.push(name);
      else symlinkSync(found, join(directory, `${command}-${what}`));
    }
  }
  const reason = missing.length > 0 ? `no ${missing.join(", ")}; package "iptables"` : unsupported(directory);
  if (reason !== undefined) {
    test(`iptables-${variant}`, { skip: reason }, () => {});
    return;
  }
  process.env["PATH"] = `${directory}${delimiter}${path}`;
  cases();
}

/** Some kernels have only one of them. */
function unsupported(directory: string): string | undefined {
  const env = { ...process.env, XTABLES_LOCKFILE: "/dev/null" };
  const input = "*nat\n:FL-TEST - [0:0]\n-X FL-TEST\nCOMMIT\n";
  const { status, stderr } = spawnSync(join(directory, "iptables-restore"), ["--noflush"], { env, input, encoding: "utf8" });
  return status === 0 ? undefined : `this kernel does not take it: ${stderr.trim().split("\n")[0]}`;
}
