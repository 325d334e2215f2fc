// The host stays as it is while a cluster comes up, runs and goes; and nothing is left of it, however it ends.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { netns, openNft, openRoute } from "#linux";
import { command, ROOT, startTestCluster } from "../testing/cluster.ts";
import { component } from "../testing/status.ts";
import { sandboxPids } from "./processes.ts";

/** Links, addresses, routes, rules, neighbours, tables, sysctls and mounts of the host, as text. */
async function hostState(): Promise<Record<string, string>> {
  return {
    ...(process.getuid?.() === 0 ? overNetlink() : fromFiles()),
    sysctls: (
      await command("sh", ["-c", "cd /proc/sys/net && grep -r . . 2>/dev/null | grep -v -E 'random|nf_conntrack_count|/stat' | sort"])
    ).stdout,
    mounts: readFileSync("/proc/self/mounts", "utf8"),
  };
}

function overNetlink(): Record<string, string> {
  const ns = netns.current();
  const route = openRoute(ns);
  const text = (value: unknown): string => JSON.stringify(value, (key, inner: unknown) => (key === "stats" ? undefined : inner), 1);
  try {
    return {
      links: text(route.links.list()),
      addrs: text(route.addrs.list()),
      routes: text([...route.routes.list({ family: 4 }), ...route.routes.list({ family: 6 })]),
      rules: text([...route.rules.list(4), ...route.rules.list(6)]),
      neighbours: text(route.neighs.list().filter((neigh) => neigh.state === "permanent" || neigh.proxy === true)),
      nft: nftTables(),
    };
  } finally {
    route.close();
    ns.close();
  }
}

/** What an ordinary user may read of it: setns(2), which every netlink socket of ours goes through, is not for them. */
function fromFiles(): Record<string, string> {
  const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");
  // Columns 7 and 8 count references and uses (Linux, net/ipv6/ip6_fib.c, ipv6_route_native_seq_show).
  const withoutCounters = (line: string): string => line.split(/\s+/).toSpliced(6, 2).join(" ");
  const link = (name: string): string =>
    [name, ...["address", "mtu", "flags"].map((field) => read(`/sys/class/net/${name}/${field}`).trim())].join(" ");
  return {
    links: readdirSync("/sys/class/net").sort().map(link).join("\n"),
    ipv4: read("/proc/net/fib_trie"),
    "IPv6 addresses": read("/proc/net/if_inet6"),
    "IPv6 routes": read("/proc/net/ipv6_route").split("\n").map(withoutCounters).join("\n"),
  };
}

function nftTables(): string {
  const nft = openNft(netns.current());
  try {
    return JSON.stringify({ generation: nft.generation(), tables: nft.tables() });
  } finally {
    nft.close();
  }
}

async function assertUntouched(before: Record<string, string>, when: string): Promise<void> {
  const now = await hostState();
  for (const [what, text] of Object.entries(before)) assert.equal(now[what], text, `${what} of the host changed ${when}`);
}

/** Processes below or of the cluster, by the directory that is in their arguments. */
function processesOf(home: string): string[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(home);
      } catch {
        return false;
      }
    });
}

async function eventually(what: string, condition: () => boolean, withinMs: number): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `not within ${withinMs} ms: ${what}`);
    await sleep(20);
  }
}

test("the host is the same before, during and after", async () => {
  const before = await hostState();
  {
    await using cluster = await startTestCluster({ flags: ["--nodes", "2"] });
    await assertUntouched(before, "while a cluster runs");
    assert.ok(cluster.sandboxPid() > 0);
  }
  await assertUntouched(before, "after a cluster was removed");
});

for (const victim of ["supervisor", "apiserver", "agent"]) {
  test(`nothing is left by down after kill -9 of the ${victim}`, async () => {
    const before = await hostState();
    await using cluster = await startTestCluster({ flags: ["--nodes", "1"] });
    process.kill((await component(cluster, victim)).pid, "SIGKILL");
    const down = await cluster.fairlead("down");
    assert.equal(down.code, 0, down.stderr);
    assert.deepEqual(processesOf(cluster.home), []);
    await assertUntouched(before, `after kill -9 of the ${victim} and down`);
  });
}

test("everything is gone within a second after kill -9 of the sandbox's first process", async () => {
  await using cluster = await startTestCluster({ flags: ["--nodes", "1"] });
  const inside = [...sandboxPids(cluster.sandboxPid()).values()];
  assert.ok(inside.length >= 5, `only ${inside.length} processes in the sandbox`);
  process.kill(cluster.sandboxPid(), "SIGKILL");
  await eventually("no process of the cluster lives", () => processesOf(cluster.home).length === 0 && inside.every(isGone), 1_000);
});

for (const [verb, when] of [
  ["up", /namespaces and underlay/],
  ["demo", /a Service name resolves on every node/],
  ["demo", /the shop is applied/],
] as const) {
  test(`${verb}, interrupted after "${when.source}", leaves nothing and says so`, async () => {
    const fairleadHome = mkdtempSync(`${tmpdir()}/fairlead-interrupted-`);
    const home = `${fairleadHome}/half`;
    const started = spawn(`${ROOT}fairlead`, [verb, "--name", "half"], { env: { ...process.env, FAIRLEAD_HOME: fairleadHome } });
    let said = "";
    started.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await eventually(`${verb} has said ${when.source}`, () => when.test(said), 30_000);
    const again = await command(`${ROOT}fairlead`, ["up", "--name", "half"], { ...process.env, FAIRLEAD_HOME: fairleadHome });
    assert.match(again.stderr, /"half" is (being started|running)/);
    started.kill("SIGINT");
    const [code] = (await once(started, "close")) as [number];
    assert.equal(code, 130);
    assert.match(said, /\ninterrupted; the cluster half is removed\n$/);
    assert.deepEqual(processesOf(home), []);
    assert.deepEqual(readdirSync(fairleadHome), []);
    rmSync(fairleadHome, { recursive: true });
  });
}

test("up --foreground in a relative home ends with its terminal, and leaves nothing", async () => {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-foreground-`);
  const args = ["up", "--name", "front", "--nodes", "1", "--foreground"];
  const started = spawn(`${ROOT}fairlead`, args, { cwd: dir, env: { ...process.env, FAIRLEAD_HOME: "a home" } });
  let said = "";
  started.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  await eventually("the cluster is up", () => /Press Ctrl-C/.test(said), 30_000);
  started.kill("SIGHUP");
  const [code] = (await once(started, "close")) as [number];
  assert.equal(code, 0, said);
  assert.deepEqual(processesOf(`${dir}/a home/front`), []);
  assert.deepEqual(readdirSync(`${dir}/a home`), []);
  rmSync(dir, { recursive: true });
});

function isGone(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}
