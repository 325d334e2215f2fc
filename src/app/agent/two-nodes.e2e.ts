// The API server, the controllers and two agents as processes, on a real underlay, without the sandbox program: what agents do when
// they come, die and come again. All of it in namespaces whose first process is testing/two-nodes.ts, so that nothing can be left.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";

const script: string = new URL("testing/two-nodes.ts", import.meta.url).pathname;

for (const overlay of ["vxlan", "host-gw"]) {
  test(`two nodes, ${overlay}`, { timeout: 90_000 }, (t) => {
    const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const namespaces = [...user, "--net", "--mount", "--ipc", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child=SIGKILL"];
    const home = mkdtempSync(`${tmpdir()}/fairlead-agent-`);
    t.after(() => rmSync(home, { recursive: true, force: true }));
    const args = [...namespaces, "--", process.execPath, script, home, overlay];
    const result = spawnSync("unshare", args, { encoding: "utf8", timeout: 80_000, killSignal: "SIGKILL" });
    for (const line of result.stdout.trim().split("\n")) t.diagnostic(line);
    assert.equal(result.status, 0, `${result.stderr}${result.error?.message ?? ""}`);
  });
}
