import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { after, test } from "node:test";
import { whyNotAway } from "./contract/namespaces.ts";
import { netns, type Orphan, spawnIn, watchOrphans, watchProcessEnd } from "./index.ts";

const KINDS = ["net", "ipc", "uts", "pid_for_children", "cgroup"] as const;

function ownNamespaces(): string[] {
  return KINDS.map((kind) => readlinkSync(`/proc/thread-self/ns/${kind}`));
}

const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
});

function start(...args: Parameters<typeof spawnIn>): ChildProcess {
  const child = spawnIn(args[0], args[1], { stdio: ["pipe", "pipe", "inherit"], ...args[2] });
  children.push(child);
  return child;
}

async function outputOf(child: ChildProcess): Promise<string> {
  let out = "";
  child.stdout?.on("data", (chunk) => {
    out += String(chunk);
  });
  await once(child, "close");
  return out.trim();
}

test("a child in new namespaces of all kinds, and a second one that joins them", async (t) => {
  const reason = whyNotAway(["ipc", "uts", "pid"]);
  if (reason !== undefined) return t.skip(reason);
  const before = ownNamespaces();
  // `cat` ends with its standard input.
  const first = start("cat", [], { unshare: ["net", "ipc", "uts", "pid"] });
  assert.deepEqual(ownNamespaces(), before, "the thread is back");
  await once(first, "spawn");
  const pid = first.pid ?? 0;
  const theirs = (kind: string): string => readlinkSync(`/proc/${pid}/ns/${kind}`);
  for (const kind of ["net", "ipc", "uts", "pid"]) assert.notEqual(theirs(kind), readlinkSync(`/proc/self/ns/${kind}`), kind);

  const second = start("sh", ["-c", "echo $$; readlink /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/uts"], {
    join: { pid, kinds: ["net", "ipc", "uts", "pid"] },
  });
  const [ownPid, ...joined] = (await outputOf(second)).split("\n");
  assert.ok(Number(ownPid) > 1 && Number(ownPid) < 10, `pid ${ownPid} in the pid namespace`);
  // The proc mount of the test shows this process's pid namespace, where the child has no /proc/self.
  if (joined.length > 1) assert.deepEqual(joined, ["net", "ipc", "uts"].map(theirs));
  assert.deepEqual(ownNamespaces(), before);
  first.stdin?.end();
  await once(first, "close");
});

test("a child in a network namespace; the thread is back also after a failure", () => {
  const before = ownNamespaces();
  using ns = netns.createAnonymous();
  assert.throws(() => spawnIn("cat", [], { netns: ns, join: { pid: 999_999_999, kinds: ["uts"] } }), /ENOENT|EPERM/);
  assert.throws(() => spawnIn("", [], { netns: ns }));
  assert.deepEqual(ownNamespaces(), before);
});

test("the end of a process is told by its pid", async () => {
  const child = start("cat", []);
  const ended = Promise.withResolvers<void>();
  const watch = watchProcessEnd(child.pid ?? 0, () => ended.resolve());
  child.stdin?.end();
  await ended.promise;
  watch.close();
  assert.throws(() => watchProcessEnd(999_999_999, () => {}), /ESRCH/);
});

test("orphans are collected, libuv's own children are not", async () => {
  const program = `
    import { spawn } from "node:child_process";
    import { setSubreaper, watchOrphans } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    setSubreaper();
    const own = new Set();
    const orphans = [];
    const alive = setInterval(() => {}, 1000);
    const done = Promise.withResolvers();
    const watch = watchOrphans(() => own, (orphan) => { orphans.push(orphan); if (orphans.length === 2) done.resolve(); });
    const child = spawn("sh", ["-c", "(sh -c 'exit 7' & sh -c 'kill -9 $$' &); exec sh -c 'exit 3'"], { stdio: "ignore" });
    own.add(child.pid);
    const exit = new Promise((resolve) => child.on("exit", (code) => { own.delete(child.pid); resolve(code); }));
    await done.promise;
    const code = await exit;
    watch.close();
    clearInterval(alive);
    console.log(JSON.stringify({ code, orphans: orphans.map((o) => [o.status, o.signal ?? null]).sort() }));
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  assert.deepEqual(JSON.parse(await outputOf(child)), {
    code: 3,
    orphans: [
      [137, 9],
      [7, null],
    ],
  });
});

test("without orphans there is nothing to collect", () => {
  const seen: Orphan[] = [];
  watchOrphans(
    () => new Set(),
    (orphan) => seen.push(orphan),
  ).close();
  assert.deepEqual(seen, []);
});
