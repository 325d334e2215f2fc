// `fairlead agent --only proxy` on a node of a cluster that is not ours to make: an API server and its controllers, a node of which only
// the Node object and a network namespace are there, and kubectl. All of it in namespaces whose first process is testing/real-node.ts.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { findKubectls } from "../testing/kubectl.ts";

const script: string = new URL("testing/real-node.ts", import.meta.url).pathname;
const kubectl: string | undefined = findKubectls().at(-1)?.path;

for (const mode of ["nftables", "iptables", "ipvs"]) {
  test(`a real node, ${mode}`, { timeout: 90_000, skip: kubectl === undefined && "there is no kubectl on this machine" }, (t) => {
    const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const namespaces = [...user, "--net", "--mount", "--ipc", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child=SIGKILL"];
    const home = mkdtempSync(`${tmpdir()}/fairlead-real-`);
    t.after(() => rmSync(home, { recursive: true, force: true }));
    const args = [...namespaces, "--", process.execPath, script, home, mode, kubectl ?? ""];
    const result = spawnSync("unshare", args, { encoding: "utf8", timeout: 80_000, killSignal: "SIGKILL" });
    const lines = result.stdout.trim().split("\n");
    for (const line of lines) t.diagnostic(line);
    assert.equal(result.status, 0, `${result.stderr}${result.error?.message ?? ""}`);
    const why = lines.find((line) => line.startsWith("skip: "));
    if (why !== undefined) t.skip(why.slice(6));
  });
}
