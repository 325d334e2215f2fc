import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FairleadError } from "#base";
import { IPTABLES_MISSING, openIptables, TOO_LONG } from "./tool.ts";

const directory: string = mkdtempSync(join(tmpdir(), "fairlead-iptables-"));
const path: string | undefined = process.env["PATH"];

after(() => {
  process.env["PATH"] = path;
  rmSync(directory, { recursive: true });
});

/** Programs that say what `script` makes them say. */
function programs(script: string): void {
  for (const name of ["iptables-restore", "ip6tables-restore", "iptables-save", "ip6tables-save"]) {
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  process.env["PATH"] = `${directory}:${path}`;
}

const TEXT = "*nat\n:FL-A - [0:0]\n-A FL-A -j NOWHERE\nCOMMIT\n";

test("a refused rule is in the error, as text", async () => {
  const cases: readonly (readonly [says: string, at: RegExp, code: string])[] = [
    [
      "Couldn't load target `NOWHERE'\nError occurred at line: 3\nTry `iptables-restore -h'",
      /line 3, "-A FL-A -j NOWHERE": .*load target/,
      "",
    ],
    ["iptables-restore: line 4 failed", /line 4, "COMMIT"/, ""],
    ["iptables-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed", /line 3, "-A FL-A -j NOWHERE": .*RULE_APPEND/, ""],
    ["sendmsg() failed: Message too long", /ended with 2: sendmsg/, TOO_LONG],
    ["", /it says nothing/, ""],
  ];
  for (const [says, at, code] of cases) {
    programs(`cat >/dev/null; cat >&2 <<'END'\n${says}\nEND\nexit 2`);
    await assert.rejects(openIptables(undefined).restore(4, TEXT), (err: unknown) => {
      assert.ok(err instanceof FairleadError);
      assert.match(err.message, /^Cannot write the service rules: iptables-restore ended with 2/);
      assert.match(err.message, at);
      assert.doesNotMatch(err.message, /Try/);
      assert.equal(err.code, code === "" ? "IptablesRestore" : code);
      return true;
    });
  }
});

test("a program that ends before it has read its input is no other failure", async () => {
  programs("echo no >&2; exit 1");
  await assert.rejects(openIptables(undefined).restore(6, TEXT.repeat(50_000)), /ip6tables-restore ended with 1: no$/);
});

test("what is saved comes back whole, and with the table's name", async () => {
  programs('printf "%s:" "$@"; printf "\\342\\202\\254\\n"');
  assert.equal(await openIptables(undefined).save(4, "nat"), "-t:nat:€\n");
  programs("echo no table >&2; exit 3");
  await assert.rejects(openIptables(undefined).save(6, "filter"), /table filter: ip6tables-save -t filter ended with 3: no table/);
});

test("without the programs: which package has them", { skip: isInUsualPlace() && "this machine has them where everybody looks" }, () => {
  process.env["PATH"] = "/nowhere";
  assert.throws(() => openIptables(undefined), { code: IPTABLES_MISSING, message: /install the package "iptables"/ });
});

function isInUsualPlace(): boolean {
  process.env["PATH"] = "/nowhere";
  try {
    openIptables(undefined);
    return true;
  } catch {
    return false;
  } finally {
    process.env["PATH"] = path;
  }
}
