// A child that builds itself a root and executes a program in it, as container launchers do.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { whyNotAway } from "./contract/namespaces.ts";
import { parseCapability, spawnIn } from "./index.ts";

async function run(program: string, options: Parameters<typeof spawnIn>[2] = {}): Promise<string[]> {
  const script = `
    import * as linux from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    import fs from "node:fs";
    ${program}
  `;
  const child = spawnIn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"], ...options });
  let out = "";
  child.stdout?.on("data", (chunk) => {
    out += String(chunk);
  });
  const [code] = await once(child, "close");
  assert.equal(code, 0, out);
  return out.trim().split("\n");
}

test("a new root, read-only but for a tmpfs, with a host name, few capabilities, in a new pid namespace", async (t) => {
  const reason = whyNotAway(["uts", "ipc", "pid"]);
  if (reason !== undefined) return t.skip(reason);
  const root = mkdtempSync(join(tmpdir(), "fairlead-root-"));
  try {
    const lines = await run(
      `
      linux.newMountNamespace();
      linux.makeRootSlave();
      const root = ${JSON.stringify(root)};
      linux.bindMount("/", root, { recursive: true });
      linux.mountSetAttrReadonlyRecursive(root);
      linux.mount({ source: "tmpfs", target: root + "/tmp", type: "tmpfs", flags: linux.MS_NOSUID | linux.MS_NODEV, data: "size=1m" });
      fs.mkdirSync(root + "/tmp/old");
      linux.pivotRoot(root, root + "/tmp/old");
      process.chdir("/");
      linux.mount({ source: "proc", target: "/proc", type: "proc" });
      linux.unmount("/tmp/old", { detach: true });
      linux.sethostname("web-0");
      linux.dropCapabilities(["CAP_NET_BIND_SERVICE"]);
      linux.setNoNewPrivileges();
      process.execve("/bin/sh", ["sh", "-c", [
        "echo pid $$",
        "hostname || cat /proc/sys/kernel/hostname",
        "touch /tmp/x && echo tmp writable",
        "touch /usr/x 2>/dev/null || echo root read-only",
        "grep -E '^(CapEff|CapPrm|CapBnd|CapInh|CapAmb|NoNewPrivs):' /proc/self/status | tr '\\\\t' ' '",
        "ls /tmp/old",
      ].join("; ")], { PATH: "/usr/bin:/bin" });
    `,
      { unshare: ["net", "uts", "ipc", "pid"] },
    );
    assert.deepEqual(lines, [
      "pid 1",
      "web-0",
      "tmp writable",
      "root read-only",
      "CapInh: 0000000000000000",
      "CapPrm: 0000000000000400",
      "CapEff: 0000000000000400",
      "CapBnd: 0000000000000400",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 1",
    ]);
    assert.deepEqual(readdirSync(root), [], "nothing of it is mounted here");
  } finally {
    rmdirSync(root);
  }
});

test("joining the mount namespace of another process", async () => {
  const holder = spawnIn(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `
      import * as linux from ${JSON.stringify(import.meta.resolve("./index.ts"))};
      import fs from "node:fs";
      linux.newMountNamespace();
      linux.makeRootPrivate();
      linux.mount({ source: "tmpfs", target: "/mnt", type: "tmpfs" });
      fs.writeFileSync("/mnt/here", "from the holder");
      console.log("ready");
      process.stdin.resume();
    `,
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  try {
    assert.ok(holder.stdout !== null);
    await once(holder.stdout, "data");
    const lines = await run(`
      linux.joinMountNamespace(${holder.pid});
      process.execve("/bin/cat", ["cat", "/mnt/here"], {});
    `);
    assert.deepEqual(lines, ["from the holder"]);
    assert.ok(!readdirSync("/mnt").includes("here"));
  } finally {
    holder.stdin?.end();
    await once(holder, "close");
  }
});

test("capabilities are named with or without their prefix", () => {
  assert.equal(parseCapability("net_admin"), "CAP_NET_ADMIN");
  assert.equal(parseCapability("CAP_CHOWN"), "CAP_CHOWN");
  assert.throws(
    () => parseCapability("NET_ADMINN", "spec.capabilities.add[0]"),
    /spec\.capabilities\.add\[0\]: "NET_ADMINN" is not a capability/,
  );
});
