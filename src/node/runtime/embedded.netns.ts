// The embedded runtime with real processes, as root and as an ordinary user: this file starts itself again in namespaces of either kind,
// which end with everything that is left in them.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, describe, test } from "node:test";
import { silentLogger } from "#base";
import {
  type ContainerConfig,
  type ContainerStatus,
  createEmbeddedRuntime,
  type ImageService,
  type PodNetwork,
  type PodSandboxConfig,
  type RuntimeService,
} from "./index.ts";
import { buildTestPrograms, removeTestPrograms } from "./testing/programs.ts";

const INNER = process.env["FAIRLEAD_TEST_DIST"];
const NAMESPACES = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"];
const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];

if (INNER === undefined) outer();
else inner(INNER);

function outer(): void {
  const mapsAll = readFileSync("/proc/self/uid_map", "utf8").includes("4294967295");
  const isRoot = process.getuid?.() === 0 && mapsAll;
  const programs = buildTestPrograms();
  after(async () => removeTestPrograms(await programs));

  async function runInner(command: readonly string[]): Promise<void> {
    const { distDir } = await programs;
    const [name, ...args] = [...command, process.execPath, "--test-reporter=spec", import.meta.filename];
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const result = spawnSync(name, args, { env: { ...env, FAIRLEAD_TEST_DIST: distDir }, encoding: "utf8", timeout: 100_000 });
    assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
  }

  test("as root", { skip: isRoot ? false : "not root: only the tests in a user namespace run" }, () =>
    runInner(["unshare", ...NAMESPACES, "--"]),
  );
  test("as an ordinary user", { skip: isRoot && !readableByAll() ? "an ordinary user cannot read this checkout" : false }, () =>
    runInner([...(isRoot ? NOBODY : []), "unshare", "--user", "--map-root-user", ...NAMESPACES, "--"]),
  );
}

function readableByAll(): boolean {
  return spawnSync(NOBODY[0] ?? "", [...NOBODY.slice(1), process.execPath, "--version"]).status === 0 && canRead(import.meta.filename);
}

function canRead(path: string): boolean {
  return spawnSync(NOBODY[0] ?? "", [...NOBODY.slice(1), "cat", path]).status === 0;
}

type Runtime = RuntimeService & ImageService;

/** Every process's command line, in one line; ps(1) is not on every machine. */
const COMMAND_LINES = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; echo";

function inner(distDir: string): void {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-runtime-`);
  const exitsDir = `${dir}/exits`;
  mkdirSync(exitsDir);
  const isRoot = readFileSync("/proc/self/uid_map", "utf8").includes("4294967295");
  const calls: string[] = [];
  const network: PodNetwork = {
    async add({ sandboxId, netns }) {
      calls.push(`add ${sandboxId}`);
      assert.equal(typeof netns.inode, "number");
      return { ips: ["10.244.0.2", "fd00:10:244::2"] };
    },
    async del({ sandboxId }) {
      calls.push(`del ${sandboxId}`);
    },
  };
  const open = (overrides: Partial<PodNetwork> = {}): Runtime =>
    createEmbeddedRuntime({
      stateDir: `${dir}/state`,
      programs: { nodePath: process.execPath, distDir },
      network: { ...network, ...overrides },
      exitsDir,
      logger: silentLogger,
    });
  let runtime = open();
  after(() => {
    runtime.close();
    rmSync(dir, { recursive: true, force: true });
  });

  let pods = 0;
  let logs = 0;
  function podConfig(change: Partial<PodSandboxConfig> = {}): PodSandboxConfig {
    const name = `pod-${++pods}`;
    return {
      metadata: { name, uid: `uid-${pods}`, namespace: "default", attempt: 0 },
      hostname: name,
      logDirectory: `${dir}/log/default_${name}_uid-${pods}`,
      dnsConfig: { servers: ["10.96.0.10"], searches: ["default.svc.cluster.local"], options: ["ndots:5"] },
      namespaces: { network: "pod", pid: "container", ipc: "pod" },
      labels: { app: "a" },
      annotations: {},
      ...change,
    };
  }
  function containerConfig(command: readonly string[], change: Partial<ContainerConfig> = {}): ContainerConfig {
    const rest = { args: [], envs: [], mounts: [], labels: {}, annotations: {} };
    return { metadata: { name: "c", attempt: 0 }, image: "toolbox", command, logPath: `c/${++logs}.log`, ...rest, ...change };
  }
  async function start(sandbox: string, command: readonly string[], change: Partial<ContainerConfig> = {}): Promise<string> {
    const id = await runtime.createContainer(sandbox, containerConfig(command, change));
    await runtime.startContainer(id);
    return id;
  }
  async function ended(id: string): Promise<ContainerStatus> {
    for (;;) {
      const stopped = Promise.withResolvers<void>();
      const events = runtime.onContainerEvent((event) => {
        if (event.type === "stopped" && event.containerId === id) stopped.resolve();
      });
      const status = await runtime.containerStatus(id);
      if (status.state === "exited") return status;
      await stopped.promise;
      events.close();
    }
  }
  function logOf(status: ContainerStatus, stream = "stdout"): string {
    const lines = readFileSync(status.logPath, "utf8").trimEnd().split("\n");
    return lines
      .map((line) => new RegExp(`^\\S+Z ${stream} [FP] (.*)$`).exec(line)?.[1])
      .filter((text) => text !== undefined)
      .join("\n");
  }
  async function output(sandbox: string, script: string, change: Partial<ContainerConfig> = {}): Promise<string> {
    return logOf(await ended(await start(sandbox, ["sh", "-c", `exec 2>&1; ${script}`], change)));
  }
  async function sh(id: string, script: string): Promise<string> {
    const { stdout, stderr, exitCode } = await runtime.execSync(id, ["sh", "-c", script], 10);
    assert.equal(exitCode, 0, stderr.toString());
    return stdout.toString().trim();
  }
  async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const withPod =
    (fn: (sandbox: string, config: PodSandboxConfig) => Promise<void>, change: Partial<PodSandboxConfig> = {}) =>
    async (): Promise<void> => {
      const config = podConfig(change);
      const sandbox = await runtime.runPodSandbox(config);
      try {
        await fn(sandbox, config);
      } finally {
        await runtime.removePodSandbox(sandbox);
      }
    };

  describe("sandboxes", () => {
    test("a sandbox has a network namespace, addresses, and leaves nothing", async () => {
      const config = podConfig();
      const id = await runtime.runPodSandbox(config);
      const status = await runtime.podSandboxStatus(id);
      assert.equal(status.state, "ready");
      assert.deepEqual(status.ips, ["10.244.0.2", "fd00:10:244::2"]);
      assert.deepEqual(status.labels, { app: "a" });
      assert.match(readFileSync("/proc/self/mounts", "utf8"), new RegExp(`${id}/netns nsfs`));
      assert.deepEqual(
        (await runtime.listPodSandbox({ podUid: config.metadata.uid })).map((pod) => pod.id),
        [id],
      );

      await runtime.stopPodSandbox(id);
      assert.equal((await runtime.podSandboxStatus(id)).state, "notReady");
      await runtime.removePodSandbox(id);
      await runtime.removePodSandbox(id);
      assert.deepEqual(calls.slice(-3), [`add ${id}`, `del ${id}`, `del ${id}`]);
      assert.deepEqual(await runtime.listPodSandbox(), []);
      assert.deepEqual(readdirSync(`${dir}/state/sandboxes`), []);
      assert.doesNotMatch(readFileSync("/proc/self/mounts", "utf8"), /netns nsfs/);
    });

    test("what was done for a sandbox is undone when its network cannot be made", async () => {
      const failing = open({ add: () => Promise.reject(new Error("no address left")) });
      await assert.rejects(failing.runPodSandbox(podConfig()), {
        code: "RunPodSandboxError",
        message: "Failed to create pod sandbox: no address left",
      });
      assert.deepEqual(await failing.listPodSandbox(), []);
      assert.deepEqual(readdirSync(`${dir}/state/sandboxes`), []);
      failing.close();
    });

    test(
      "containers share network, host name and /dev/shm, and have processes and files of their own",
      withPod(async (sandbox, config) => {
        const first = await start(sandbox, ["sh", "-c", "echo one > /tmp/mine; echo shared > /dev/shm/x; sleep infinity"]);
        await until(async () => (await runtime.execSync(first, ["test", "-e", "/dev/shm/x"], 5)).exitCode === 0);
        const script =
          "hostname; cat /dev/shm/x; cat /tmp/mine 2>/dev/null; readlink /proc/self/ns/net; ls -d /proc/[0-9]* | wc -l; cat /etc/hostname; cat /etc/resolv.conf";
        const [hostname, shared, net, processes, ...files] = (await output(sandbox, script)).split("\n");
        assert.deepEqual([hostname, shared], [config.hostname, "shared"]);
        assert.equal(net, await sh(first, "readlink /proc/self/ns/net"));
        assert.ok(Number(processes) < 8, `sees ${processes} processes`);
        assert.deepEqual(files, [config.hostname, "nameserver 10.96.0.10", "search default.svc.cluster.local", "options ndots:5"]);
      }),
    );

    test(
      "a shared pid namespace shows the other containers, and orphans are collected",
      withPod(
        async (sandbox) => {
          const first = await start(sandbox, ["sleep", "12345"]);
          const zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";
          const out = await output(sandbox, `${COMMAND_LINES}; (sh -c 'sleep 0.05 & true'); sleep 0.2; ${zombies}`);
          assert.match(out, /pause\.js/);
          assert.match(out, /sleep 12345/);
          assert.match(out, /\n0$/);
          await runtime.stopContainer(first, 1);
        },
        { namespaces: { network: "pod", pid: "pod", ipc: "pod" } },
      ),
    );

    test(
      "with the node's network there is no network to make",
      withPod(
        async (sandbox, config) => {
          assert.deepEqual((await runtime.podSandboxStatus(sandbox)).ips, []);
          assert.equal(await output(sandbox, "readlink /proc/self/ns/net; hostname"), `${readLink("net")}\n${config.hostname}`);
          assert.ok(!calls.includes(`add ${sandbox}`));
        },
        { namespaces: { network: "node", pid: "container", ipc: "pod" } },
      ),
    );
  });

  describe("a container", () => {
    test(
      "writes its log, and its exit code is known",
      withPod(async (sandbox) => {
        const events: string[] = [];
        const subscription = runtime.onContainerEvent((event) => events.push(event.type));
        const id = await start(sandbox, ["sh", "-c", "echo out; echo err >&2; echo dev > /dev/stderr; printf part; exit 3"]);
        const status = await ended(id);
        subscription.close();
        assert.deepEqual(events, ["started", "stopped"]);
        assert.equal(status.exitCode, 3);
        assert.equal(status.reason, "Error");
        assert.ok((status.finishedAtMs ?? 0) >= (status.startedAtMs ?? Number.POSITIVE_INFINITY));
        assert.equal(logOf(status), "out\npart");
        assert.equal(logOf(status, "stderr"), "err\ndev");
        assert.match(readFileSync(status.logPath, "utf8"), / stdout P part\n/);
      }),
    );

    test(
      "that targets another one sees its processes, and ends without them",
      withPod(async (sandbox) => {
        const target = await start(sandbox, ["sleep", "1234"]);
        const other = { metadata: { name: "debug", attempt: 0 }, pidTargetId: target };
        const id = await start(sandbox, ["sleep", "4321"], other);
        assert.match(await sh(id, COMMAND_LINES), /sleep 1234 .*sleep 4321/);
        assert.match(await output(sandbox, COMMAND_LINES, other), /sleep 1234 .*sleep 4321/);
        await runtime.stopContainer(id, 0);
        assert.equal((await runtime.containerStatus(target)).state, "running");
        await runtime.stopContainer(target, 0);
        await assert.rejects(start(sandbox, ["true"], other), { code: "CreateContainerError", message: /is not running/ });
      }),
    );

    test(
      "sees a root of its own with the node's programs, read-only",
      withPod(async (sandbox) => {
        const script = `id -u; touch /usr/x; touch /x /tmp/x /run/x /var/log/x /etc/x && echo writable; ls /home /root; ls -d /etc/shadow;
          test -c /dev/null && echo > /dev/null && head -c 4 /dev/urandom | wc -c; ls /proc | grep -c '^[0-9]'; yes | head -1; ls /sys/class/net;
          cat /proc/self/status | grep -E '^(CapEff|CapBnd|SigIgn)'; cat /proc/mounts | grep -c " /proc/1/"; pwd; echo x > /proc/sys/kernel/domainname`;
        const out = await output(sandbox, script);
        assert.match(out, /^0\n.*\/usr\/x.*Read-only file system\nwritable\n/);
        assert.match(out, /\/etc\/shadow.*No such file/);
        assert.match(out, /\n4\n\d\ny\nlo\nCapBnd|\n4\n\d\ny\nlo\nSigIgn/);
        assert.match(out, /SigIgn:\t0000000000000000/);
        // CAP_SYS_ADMIN (21), CAP_NET_ADMIN (12) and CAP_MKNOD (27) are not there, CAP_NET_RAW (13) and CAP_NET_BIND_SERVICE (10) are.
        assert.match(out, /CapEff:\t00000000a00425fb\n/);
        assert.match(out, /\n\/\n.*\/proc\/sys\/kernel\/domainname/);
      }),
    );

    test(
      "a program of an image is imported by the launcher, others are executed",
      withPod(async (sandbox) => {
        const id = await start(sandbox, [], { image: "agnhost", args: ["netexec", "--http-port", "80"] });
        const { exitCode } = await runtime.execSync(id, ["/agnhost", "connect", "--timeout=1s", "127.0.0.1:81"], 10);
        assert.equal(exitCode, 1);
        await until(async () => (await runtime.execSync(id, ["/agnhost", "connect", "127.0.0.1:80"], 10)).exitCode === 0);
        assert.match(await sh(id, "tr '\\0' ' ' < /proc/1/cmdline"), /^\/agnhost netexec --http-port 80/);
        await runtime.stopContainer(id, 5);
        assert.equal((await runtime.containerStatus(id)).exitCode, 0);
        assert.match(logOf(await runtime.containerStatus(id), "stderr"), /Started HTTP server on port 80/);
        assert.equal(await output(sandbox, "/agnhost entrypoint-tester x"), "[/agnhost entrypoint-tester x]");
      }),
    );

    test(
      "what cannot be started says why, and has ended",
      withPod(async (sandbox) => {
        const table: readonly [string[], RegExp][] = [
          [["no-such"], /^exec: "no-such": executable file not found in \$PATH$/],
          [["/no/such"], /^exec: "\/no\/such": stat \/no\/such: no such file or directory$/],
          [["/usr"], /^exec: "\/usr": is a directory$/],
          [["/etc/passwd"], /^exec: "\/etc\/passwd": permission denied$/],
        ];
        for (const [command, message] of table) {
          const id = await runtime.createContainer(sandbox, containerConfig(command));
          await assert.rejects(runtime.startContainer(id), { code: "RunContainerError", message });
          const status = await runtime.containerStatus(id);
          assert.deepEqual([status.state, status.exitCode, status.reason], ["exited", 128, "StartError"]);
        }
        await assert.rejects(runtime.createContainer(sandbox, containerConfig([], { image: "nginx" })), { code: "ErrImagePull" });
        await assert.rejects(runtime.pullImage("nginx"), { code: "ErrImagePull" });
        assert.equal(await runtime.imageStatus("nginx"), undefined);
        const id = await runtime.createContainer(sandbox, containerConfig(["true"], { mounts: [mount("/no/such/dir", "/data")] }));
        await assert.rejects(runtime.startContainer(id), {
          code: "CreateContainerError",
          message: /\/no\/such\/dir at \/data: there is no such/,
        });
      }),
    );

    test(
      "volumes are mounted where they belong, links followed inside the container",
      withPod(async (sandbox) => {
        const volume = mkdtempSync(`${dir}/volume-`);
        writeFileSync(`${volume}/file`, "content\n");
        const mounts = [
          mount(`${volume}/file`, "/etc/app/nested.conf"),
          { ...mount(volume, "/data"), readonly: true },
          mount(volume, "/var/run/secrets/kubernetes.io/serviceaccount"),
          mount(volume, "/usr/share/nginx/html"),
          mount(`${volume}/file`, "/etc/hosts"),
        ];
        const script = `cat /etc/app/nested.conf /data/file /run/secrets/kubernetes.io/serviceaccount/file /usr/share/nginx/html/file /etc/hosts;
          touch /data/x; echo new > /usr/share/nginx/html/new; ls /usr/share/zoneinfo/UTC /usr/bin/env`;
        const out = (await output(sandbox, script, { mounts })).split("\n");
        assert.deepEqual(out.slice(0, 5), Array(5).fill("content"));
        assert.match(out[5] ?? "", /Read-only file system/);
        assert.ok(out.includes("/usr/bin/env"), out.join("\n"));
        assert.equal(readFileSync(`${volume}/new`, "utf8"), "new\n");
        const readonly = { securityContext: { readonlyRootfs: true }, mounts: [mount(volume, "/data")] };
        assert.match(await output(sandbox, "touch /x; touch /data/y && echo volume", readonly), /Read-only file system\nvolume$/);
      }),
    );

    test(
      "environment, working directory, capabilities, privileges",
      withPod(async (sandbox) => {
        const envs = [{ key: "GREETING", value: "a b" }];
        assert.equal(await output(sandbox, 'pwd; echo "$GREETING $HOME"', { envs, workingDir: "/srv/app" }), "/srv/app\na b /root");
        const capabilities = { add: ["NET_ADMIN"], drop: ["ALL"] };
        assert.equal(
          await output(sandbox, "grep CapEff /proc/self/status", { securityContext: { capabilities } }),
          "CapEff:\t0000000000001000",
        );
        assert.match(await output(sandbox, "grep NoNewPrivs /proc/self/status", { securityContext: { noNewPrivs: true } }), /\t1$/);
        assert.match(await output(sandbox, "hostname changed; hostname", { securityContext: { privileged: true } }), /^changed$/);
      }),
    );

    test(
      "a user other than root, or a message that says what to do",
      withPod(async (sandbox) => {
        const securityContext = { runAsUser: 1000, runAsGroup: 3000, supplementalGroups: [2000] };
        if (!isRoot) {
          const config = containerConfig(["id"], { securityContext });
          await assert.rejects(runtime.createContainer(sandbox, config), {
            code: "CreateContainerConfigError",
            message: /runAsUser is 1000.*as root/,
          });
          return;
        }
        const out = await output(sandbox, "id; grep CapEff /proc/self/status", { securityContext });
        assert.match(out, /^uid=1000.* gid=3000.* groups=3000.*,2000.*\nCapEff:\t0000000000000000$/);
        const agnhost = await start(sandbox, [], { image: "agnhost", args: ["netexec"], securityContext });
        assert.match(await sh(agnhost, "id -u; stat -c %u /proc/1"), /^1000\n1000$/);
      }),
    );

    test(
      "is ended by SIGTERM, or by SIGKILL when it does not listen",
      withPod(async (sandbox) => {
        const polite = await start(sandbox, ["sh", "-c", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"]);
        await until(async () => readFileSync((await runtime.containerStatus(polite)).logPath, "utf8").includes("ready"));
        await runtime.stopContainer(polite, 10);
        assert.equal((await runtime.containerStatus(polite)).exitCode, 7);
        // As pid 1 of its namespace it is not ended by a signal that it does not handle.
        const deaf = await start(sandbox, ["sleep", "infinity"]);
        const begun = performance.now();
        await runtime.stopContainer(deaf, 0.3);
        assert.ok(performance.now() - begun >= 300);
        assert.equal((await runtime.containerStatus(deaf)).exitCode, 137);
        await runtime.stopContainer(deaf, 1);
        await runtime.removeContainer(deaf);
        await assert.rejects(runtime.containerStatus(deaf), { code: "NotFound" });
      }),
    );
  });

  describe("exec and attach", () => {
    test(
      "exec gives exit codes, streams and errors",
      withPod(async (sandbox) => {
        const id = await start(sandbox, ["sleep", "infinity"], { envs: [{ key: "A", value: "1" }], workingDir: "/srv" });
        const result = await runtime.execSync(id, ["sh", "-c", "echo $A; pwd; echo err >&2; kill -9 $$"], 10);
        assert.deepEqual([result.stdout.toString(), result.stderr.toString(), result.exitCode], ["1\n/srv\n", "err\n", 137]);
        assert.equal((await runtime.execSync(id, ["sh", "-c", "exit 5"], 10)).exitCode, 5);
        await assert.rejects(runtime.execSync(id, ["no-such"], 10), { code: "RunContainerError", message: /not found in \$PATH/ });
        await assert.rejects(runtime.execSync(id, ["sleep", "10"], 0.2), { code: "Timeout" });
        assert.doesNotMatch(await sh(id, COMMAND_LINES), /sleep 10/);

        const cat = await runtime.exec(id, { command: ["sh", "-c", "cat; echo end"], stdin: true, tty: false });
        const text = readAll(cat.stdout);
        cat.stdin?.end("x".repeat(300_000));
        assert.equal(await cat.exit, 0);
        assert.equal(await text, `${"x".repeat(300_000)}end\n`);
        await runtime.stopContainer(id, 0);
        await assert.rejects(runtime.execSync(id, ["true"], 1), { code: "NotRunning" });
      }),
    );

    test(
      "exec with a terminal",
      withPod(async (sandbox) => {
        const id = await start(sandbox, ["sleep", "infinity"]);
        const session = await runtime.exec(id, {
          command: ["sh", "-c", "tty; read size; stty size; echo $TERM; read line; echo got $line"],
          stdin: true,
          tty: true,
        });
        session.resize({ width: 101, height: 33 });
        const text = readAll(session.stdout);
        session.stdin?.write("go on\nhello\n");
        assert.equal(await session.exit, 0);
        assert.match(await text, /\/dev\/pts\/0\r\n.*33 101\r\nxterm\r\n.*got hello\r\n/s);
      }),
    );

    test(
      "attach reads what a container writes and feeds its input",
      withPod(async (sandbox) => {
        for (const tty of [false, true]) {
          const id = await start(sandbox, ["sh", "-c", "read line; echo got $line"], { stdin: true, tty });
          const session = await runtime.attach(id, { stdin: true, tty });
          const text = readAll(session.stdout);
          session.stdin?.write("hello\n");
          assert.equal(await session.exit, 0);
          assert.match(await text, /got hello\r?\n$/);
        }
        const id = await start(sandbox, ["cat"], { stdin: true, stdinOnce: true });
        const session = await runtime.attach(id, { stdin: true, tty: false });
        const text = readAll(session.stdout);
        session.stdin?.end("all of it");
        assert.equal(await session.exit, 0);
        assert.equal(await text, "all of it");
        assert.match(logOf(await ended(await start(sandbox, ["tty"], { tty: true }))), /^\/dev\/console\r?$/);
      }),
    );
  });

  describe("a new agent", () => {
    test(
      "finds containers running, goes on with their logs, and learns how they end",
      withPod(async (sandbox) => {
        const script = "while :; do cat /tmp/say 2>/dev/null && rm /tmp/say; [ -e /tmp/end ] && exit 9; sleep 0.01; done";
        const id = await start(sandbox, ["sh", "-c", script]);
        const other = await start(sandbox, ["sleep", "infinity"], { metadata: { name: "d", attempt: 0 }, logPath: "d/0.log" });
        const before = await runtime.containerStatus(id);
        await sh(id, "echo first > /tmp/say");
        await until(() => readFileSync(before.logPath, "utf8").includes("first"));
        runtime.close();
        runtime = open();
        assert.equal((await runtime.podSandboxStatus(sandbox)).state, "ready");
        assert.deepEqual(await runtime.containerStatus(id), before);
        await sh(id, "echo second > /tmp/say");
        await until(() => logOf(before) === "first\nsecond");

        const { pid } = JSON.parse(readFileSync(`${dir}/state/containers/${id}/state.json`, "utf8")).process;
        const stopped = ended(id);
        await sh(id, "touch /tmp/end");
        await until(() => !existsSync(`/proc/${pid}`));
        writeFileSync(`${exitsDir}/${pid}`, "9");
        assert.equal((await stopped).exitCode, 9);
        assert.ok(!existsSync(`${exitsDir}/${pid}`));

        await runtime.stopContainer(other, 0);
        const unknown = await runtime.containerStatus(other);
        assert.deepEqual([unknown.exitCode, unknown.reason], [137, "ContainerStatusUnknown"]);
      }),
    );

    test("after kill -9 of the old one containers run, and removing them leaves nothing", async () => {
      runtime.close();
      const agent = startAgent(dir, distDir);
      const [line] = await once(agent.stdout ?? process.stdin, "data");
      const { sandbox, container } = JSON.parse(String(line));
      agent.kill("SIGKILL");
      await once(agent, "exit");
      runtime = open();
      assert.equal((await runtime.containerStatus(container)).state, "running");
      assert.equal(await sh(container, "echo still here"), "still here");
      await runtime.removePodSandbox(sandbox);
      assert.deepEqual(await runtime.listContainers(), []);
      assert.deepEqual(readdirSync(`${dir}/state/containers`), []);
      assert.doesNotMatch(readFileSync("/proc/self/mounts", "utf8"), /netns nsfs/);
    });

    test(
      "a container that was about to be started is ended, and has never run",
      withPod(async (sandbox) => {
        const id = await runtime.createContainer(sandbox, containerConfig(["sleep", "infinity"]));
        // The launcher is there, and nobody has heard that the program runs.
        const starting = runtime.startContainer(id).catch(() => undefined);
        const { pid } = JSON.parse(readFileSync(`${dir}/state/containers/${id}/state.json`, "utf8")).process;
        runtime.close();
        runtime = open();
        await starting;
        await until(() => !existsSync(`/proc/${pid}`));
        assert.equal((await runtime.containerStatus(id)).state, "created");
        await runtime.removeContainer(id);
        assert.deepEqual(await runtime.listContainers({ podSandboxId: sandbox }), []);
      }),
    );

    test("a container that ended meanwhile is known to have ended", async () => {
      const config = podConfig();
      const sandbox = await runtime.runPodSandbox(config);
      const id = await start(sandbox, ["sleep", "infinity"]);
      const { pid } = JSON.parse(readFileSync(`${dir}/state/containers/${id}/state.json`, "utf8")).process;
      runtime.close();
      process.kill(pid, "SIGKILL");
      await until(() => !existsSync(`/proc/${pid}`));
      writeFileSync(`${exitsDir}/${pid}`, "4");
      runtime = open();
      assert.equal((await ended(id)).exitCode, 4);
      await runtime.removePodSandbox(sandbox);
    });
  });

  test("ten pods start within two seconds", async () => {
    const begun = performance.now();
    const sandboxes = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const sandbox = await runtime.runPodSandbox(podConfig());
        await start(sandbox, [], { image: "agnhost", args: ["netexec"] });
        return sandbox;
      }),
    );
    const took = performance.now() - begun;
    await Promise.all(sandboxes.map((sandbox) => runtime.removePodSandbox(sandbox)));
    console.log(`10 pods in ${took.toFixed(0)} ms`);
    assert.ok(took < 2000, `${took} ms`);
  });
}

function mount(hostPath: string, containerPath: string): ContainerConfig["mounts"][number] {
  return { hostPath, containerPath, readonly: false };
}

function readLink(kind: string): string {
  return spawnSync("readlink", [`/proc/self/ns/${kind}`], { encoding: "utf8" }).stdout.trim();
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  await new Promise<void>((resolve) => stream.once("close", resolve));
  return text;
}

/** An agent in a process of its own, which prints what it has started. */
function startAgent(dir: string, distDir: string): ChildProcess {
  const program = `
    import { createEmbeddedRuntime } from "#runtime";
    const quiet = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };
    const runtime = createEmbeddedRuntime({
      stateDir: ${JSON.stringify(`${dir}/state`)},
      programs: { nodePath: process.execPath, distDir: ${JSON.stringify(distDir)} },
      network: { add: async () => ({ ips: ["10.244.0.9"] }), del: async () => {} },
      logger: quiet,
    });
    const sandbox = await runtime.runPodSandbox({
      metadata: { name: "p", uid: "u", namespace: "default", attempt: 0 }, hostname: "p", logDirectory: ${JSON.stringify(`${dir}/log/p`)},
      dnsConfig: { servers: [], searches: [], options: [] }, namespaces: { network: "pod", pid: "container", ipc: "pod" }, labels: {}, annotations: {},
    });
    const container = await runtime.createContainer(sandbox, {
      metadata: { name: "c", attempt: 0 }, image: "toolbox", command: ["sleep", "infinity"], args: [], envs: [], mounts: [], logPath: "c/0.log", labels: {}, annotations: {},
    });
    await runtime.startContainer(container);
    console.log(JSON.stringify({ sandbox, container }));
    setInterval(() => {}, 1000);
  `;
  const args = ["--input-type=module-typescript", "-e", program];
  return spawn(process.execPath, args, { cwd: new URL("../../..", import.meta.url).pathname, stdio: ["ignore", "pipe", "inherit"] });
}
