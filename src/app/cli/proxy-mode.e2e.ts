// `fairlead up --proxy-mode`: what a machine cannot do is said before anything is made; what it can do runs.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { checkMode } from "#proxy";
import { command, ROOT, startTestCluster } from "../testing/cluster.ts";

function whyNot(mode: "iptables" | "ipvs"): string | undefined {
  try {
    checkMode(mode);
    return undefined;
  } catch (err) {
    return String(err);
  }
}

for (const mode of ["iptables", "ipvs"] as const) {
  const missing = whyNot(mode);

  test(`${mode}: the cluster serves a Service name, and status says the mode`, { skip: missing ?? false }, async () => {
    await using cluster = await startTestCluster({ name: "mode", flags: ["--nodes", "1", "--proxy-mode", mode] });
    const { stdout } = await cluster.fairlead("status", "-o", "json");
    assert.equal((JSON.parse(stdout) as { proxyMode: string }).proxyMode, mode);
    assert.match((await cluster.fairlead("status")).stdout, new RegExp(`\\(dual, vxlan, ${mode}\\)`));
  });

  test(`${mode}: a machine that cannot is told so`, { skip: missing === undefined && `this machine can do ${mode}` }, async (t) => {
    const home = mkdtempSync(`${tmpdir()}/fairlead-`);
    t.after(() => rmSync(home, { recursive: true }));
    const result = await command(`${ROOT}fairlead`, ["up", "--name", "mode", "--proxy-mode", mode], {
      ...process.env,
      FAIRLEAD_HOME: home,
    });
    assert.equal(result.code, 1);
    assert.match(result.stderr, new RegExp(`this machine cannot do --proxy-mode ${mode}: .*Use another --proxy-mode`));
    assert.equal(existsSync(`${home}/mode`), false);
  });
}
