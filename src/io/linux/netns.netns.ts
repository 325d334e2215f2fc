// What only the real kernel has: threads, files, processes.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readlink } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { isErrno, netns } from "./index.ts";

function threadNs(): string {
  return readlinkSync("/proc/thread-self/ns/net");
}

test("the thread is inside during run and back after it, also after a throw", () => {
  const before = threadNs();
  using a = netns.createAnonymous();
  using b = netns.createAnonymous();
  const name = (ns: { inode: number }): string => `net:[${ns.inode}]`;
  a.run(() => {
    assert.equal(threadNs(), name(a));
    assert.throws(() =>
      b.run(() => {
        assert.equal(threadNs(), name(b));
        throw new Error("inside");
      }),
    );
    assert.equal(threadNs(), name(a));
    b.run(() => a.run(() => assert.equal(threadNs(), name(a))));
    assert.throws(
      () => a.close(),
      (err) => isErrno(err, "EBUSY"),
    );
  });
  assert.equal(threadNs(), before);
  using here = netns.current();
  assert.equal(`net:[${here.inode}]`, before);
});

test("a process that is started inside stays there; files of /proc/sys/net follow the thread", () => {
  using ns = netns.createAnonymous();
  const seen = ns.run(() => execFileSync("readlink", ["/proc/self/ns/net"], { encoding: "utf8" }));
  assert.equal(seen.trim(), `net:[${ns.inode}]`);
  ns.setSysctl("net.ipv4.ip_forward", 1);
  assert.equal(
    ns.run(() => readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8")),
    "1\n",
  );
  assert.equal(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8"), "0\n");
  using child = netns.ofPid(process.pid);
  assert.equal(`net:[${child.inode}]`, threadNs());
});

test("libuv's threads stay at home, whenever they are first used", async () => {
  const program = `
    import { netns } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    import { readlink } from "node:fs";
    const ns = netns.createAnonymous();
    const home = (await import("node:fs")).readlinkSync("/proc/self/ns/net");
    ns.run(() => { readlink("/proc/thread-self/ns/net", (err, seen) => { console.log(seen === home); }); });
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  assert.equal(stdout.trim(), "true", stderr);
  using ns = netns.createAnonymous();
  const home = threadNs();
  assert.equal(await ns.run(() => ({ promise: readlink("/proc/thread-self/ns/net") })).promise, home);
});

test("each thread is where it is", async () => {
  const program = `
    import { parentPort } from "node:worker_threads";
    import { readlinkSync } from "node:fs";
    import { netns } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    const ns = netns.createAnonymous();
    parentPort.postMessage(ns.run(() => readlinkSync("/proc/thread-self/ns/net")) === "net:[" + ns.inode + "]");
  `;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`));
  const before = threadNs();
  const inside = await new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  assert.equal(inside, true);
  assert.equal(threadNs(), before);
  await worker.terminate();
});

test("a process that cannot come back ends at once", () => {
  const program = `
    import { netns } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    import { closeSync, readdirSync, readlinkSync } from "node:fs";
    const ns = netns.createAnonymous();
    ns.run(() => {
      for (const fd of readdirSync("/proc/self/fd")) {
        let target = "";
        try { target = readlinkSync("/proc/self/fd/" + fd); } catch {}
        if (target.startsWith("net:") && Number(fd) !== ns.fd) closeSync(Number(fd));
      }
    });
    console.log("went on");
  `;
  const { stdout, stderr, signal } = spawnSync(
    "sh",
    ["-c", 'ulimit -c 0; exec "$0" "$@"', process.execPath, "--input-type=module", "-e", program],
    {
      encoding: "utf8",
    },
  );
  assert.equal(signal, "SIGABRT");
  assert.doesNotMatch(stdout, /went on/);
  assert.match(stderr, /cannot come back from a network namespace/);
});

test("no descriptors are left behind", () => {
  const fds = (): number => readdirSync("/proc/self/fd").length;
  const before = fds();
  for (let i = 0; i < 20; i++) netns.createAnonymous().close();
  assert.equal(fds(), before);
});

test("a server that listens inside is not reached from outside", async () => {
  using ns = netns.createAnonymous();
  const server: Server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    // With a port alone listen() binds at once. With a host, even an address, it does so later, outside: there listenFd is right.
    ns.run(() => void server.listen({ port: 0 }, resolve));
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const table = (where: typeof ns): string => where.run(() => readFileSync("/proc/thread-self/net/tcp6", "utf8"));
  const port = address.port.toString(16).toUpperCase().padStart(4, "0");
  assert.match(table(ns), new RegExp(`:${port} `));
  using here = netns.current();
  assert.doesNotMatch(table(here), new RegExp(`:${port} `));
  await new Promise((resolve) => server.close(resolve));
});
