import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base";
import { formatAddr, parsePrefix } from "#ip";
import { type Ipam, openIpam } from "./index.ts";

function temporary(t: TestContext): string {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-ipam-`);
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function open(dir: string, ...podCidrs: string[]): Ipam {
  return openIpam({ dir, podCidrs: podCidrs.map((text) => parsePrefix(text)), logger: silentLogger });
}

const owner = (containerId: string): { containerId: string; ifName: string } => ({ containerId, ifName: "eth0" });
const DUAL = ["10.244.1.0/24", "fd00:10:244:1::/64"];

test("a new process finds what an earlier one gave, and goes on after it", (t) => {
  const dir = temporary(t);
  const first = open(dir, ...DUAL);
  assert.deepEqual(first.add(owner("a")).map(formatAddr), ["10.244.1.2", "fd00:10:244:1::2"]);
  first.add(owner("b"));
  assert.deepEqual(first.del(owner("b")).map(formatAddr).sort(), ["10.244.1.3", "fd00:10:244:1::3"]);
  assert.deepEqual(first.del(owner("b")), []);
  const second = open(dir, ...DUAL);
  assert.deepEqual(second.get(owner("a")), second.add(owner("a")));
  assert.deepEqual(second.add(owner("c")).map(formatAddr), ["10.244.1.4", "fd00:10:244:1::4"]);
  assert.deepEqual(readdirSync(`${dir}/leases`).sort(), ["10.244.1.2", "10.244.1.4", "fd00:10:244:1::2", "fd00:10:244:1::4"]);
  assert.equal(readFileSync(`${dir}/leases/10.244.1.4`, "utf8"), "c\neth0\n");
});

test("two processes on one directory never hold the same address", (t) => {
  const dir = temporary(t);
  const [one, two] = [open(dir, ...DUAL), open(dir, ...DUAL)];
  const given = [one.add(owner("a")), two.add(owner("b")), one.add(owner("c")), two.add(owner("d"))].flat().map(formatAddr);
  assert.equal(new Set(given).size, 8);
});

test("gc gives back what no valid owner holds", (t) => {
  const ipam = open(temporary(t), ...DUAL);
  for (const id of ["a", "b", "c"]) ipam.add(owner(id));
  assert.equal(ipam.gc([owner("b"), owner("unknown")]).length, 4);
  assert.deepEqual(
    ipam.list().map((lease) => lease.owner.containerId),
    ["b", "b"],
  );
});

test("another Pod CIDR: the old addresses stay held until their owner goes or asks again", (t) => {
  const dir = temporary(t);
  open(dir, "10.244.1.0/24").add(owner("a"));
  const moved = open(dir, "10.244.7.0/24");
  assert.deepEqual(moved.get(owner("a")).map(formatAddr), ["10.244.1.2"]);
  assert.deepEqual(moved.add(owner("a")).map(formatAddr), ["10.244.7.2"]);
  assert.deepEqual(readdirSync(`${dir}/leases`), ["10.244.7.2"]);
});

test("files without an owner, as a power failure leaves them, are removed", (t) => {
  const dir = temporary(t);
  open(dir, "10.244.1.0/24");
  writeFileSync(`${dir}/leases/10.244.1.2`, "");
  assert.deepEqual(open(dir, "10.244.1.0/24").add(owner("a")).map(formatAddr), ["10.244.1.2"]);
});

test("names that would break the files are refused", (t) => {
  const ipam = open(temporary(t), "10.244.1.0/24");
  for (const id of ["", "a\nb", "../x"]) assert.throws(() => ipam.add(owner(id)), { code: "BadInput" });
  assert.throws(() => ipam.add({ containerId: "a", ifName: "a/b" }), { code: "BadInput" });
});

test("kill -9 at any moment: nothing is held twice, all of it is found again", async (t) => {
  const dir = temporary(t);
  const script = `
    import { openIpam } from ${JSON.stringify(new URL("index.ts", import.meta.url).href)};
    import { parsePrefix } from "#ip";
    const quiet = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };
    const ipam = openIpam({ dir: process.argv[1], podCidrs: ${JSON.stringify(DUAL)}.map((p) => parsePrefix(p)), logger: quiet });
    process.stdout.write("started");
    for (let i = 0; ; i = (i + 1) % 100) {
      ipam.add({ containerId: "c" + i, ifName: "eth0" });
      if (i % 3 === 0) ipam.del({ containerId: "c" + ((i * 7) % 100), ifName: "eth0" });
    }`;
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script, dir], {
      cwd: new URL("../../..", import.meta.url).pathname,
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await new Promise((resolve) => setTimeout(resolve, 3 + round * 7));
    child.kill("SIGKILL");
    await once(child, "exit");
    const ipam = open(dir, ...DUAL);
    const ids = [...new Set(ipam.list().map((lease) => lease.owner.containerId))];
    const given = ids.flatMap((id) => ipam.add(owner(id)).map(formatAddr));
    assert.equal(given.length, 2 * ids.length);
    assert.equal(new Set(given).size, given.length);
    assert.deepEqual(readdirSync(`${dir}/leases`).sort(), given.sort());
  }
});
