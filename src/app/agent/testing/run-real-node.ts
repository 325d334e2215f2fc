// One mode of the scenario in real-node.ts, as a test.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { findKubectls } from "../../testing/kubectl.ts";

const script: string = new URL("real-node.ts", import.meta.url).pathname;
const kubectl: string | undefined = findKubectls().at(-1)?.path;

/** Not busybox's, which is first in a virtual machine. */
const UNSHARE = "/usr/bin/unshare";

/** `patience`: how many times slower than usual the machine may be. */
export function testRealNode(mode: string, patience: number = 1): void {
  const timeout = 90_000 * patience;
  test(`a real node, ${mode}`, { timeout, skip: kubectl === undefined && "there is no kubectl on this machine" }, (t) => {
    const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const namespaces = [...user, "--net", "--mount", "--ipc", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child=SIGKILL"];
    const home = mkdtempSync(`${tmpdir()}/fairlead-real-`);
    t.after(() => rmSync(home, { recursive: true, force: true }));
    const args = [...namespaces, "--", process.execPath, script, home, mode, kubectl ?? "", String(patience)];
    const result = spawnSync(UNSHARE, args, { encoding: "utf8", timeout: timeout - 10_000, killSignal: "SIGKILL" });
    const lines = result.stdout.trim().split("\n");
    for (const line of lines) t.diagnostic(line);
    assert.equal(result.status, 0, `${result.stderr}${result.error?.message ?? ""}`);
    const why = lines.find((line) => line.startsWith("skip: "));
    if (why !== undefined) t.skip(why.slice(6));
  });
}
