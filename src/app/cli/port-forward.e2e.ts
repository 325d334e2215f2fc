// `kubectl port-forward` of every kubectl of this machine: up to 1.30 it speaks SPDY, from 1.31 on SPDY inside a WebSocket.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, suite, test } from "node:test";
import { command, startTestCluster, type TestCluster } from "../testing/cluster.ts";
import { findKubectls, type Kubectl } from "../testing/kubectl.ts";

const kubectls = findKubectls();
const skip = kubectls.length === 0 ? "there is no kubectl on this machine" : false;

const BYTES = 30_000_000;
/** Listens on the pod's loopback only, tells how much it was sent, and sends as much back. */
const MIRROR = `require("node:http").createServer((q, r) => { let n = 0; q.on("data", (c) => n += c.length).on("end", () => r.setHeader("x-bytes", n).end(Buffer.alloc(n, "x"))); }).listen(8080, process.argv[1]);`;

suite("kubectl port-forward", { skip }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster({ name: "forward", flags: ["--nodes", "1"] });
    const [kubectl] = kubectls;
    assert.ok(kubectl);
    const ok = async (...args: string[]): Promise<void> => {
      const { code, stderr } = await command(kubectl.path, args, cluster.env);
      assert.equal(code, 0, stderr);
    };
    for (const [name, host] of [
      ["four", "127.0.0.1"],
      ["six", "::1"],
    ] as const)
      await ok("run", name, "--image=toolbox", "--port=8080", `--overrides=${probed(name, host)}`);
    await ok("expose", "pod", "four", "--port=80", "--target-port=8080");
    await ok("wait", "pod", "--all", "--for=condition=Ready", "--timeout=30s");
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  for (const kubectl of kubectls) {
    suite(kubectl.version, () => {
      for (const [target, port] of [
        ["pod/four", 8080],
        ["pod/six", 8080],
        ["svc/four", 80],
      ] as const) {
        test(`${target}: several connections, and a big transfer both ways`, async () => {
          await using forward = await startForward(kubectl, cluster, target, `:${port}`);
          const { url } = forward;
          const small = await Promise.all(["a", "bb", ""].map((body) => fetch(url, { method: "POST", body }).then((res) => res.text())));
          assert.deepEqual(small, ["x", "xx", ""]);
          const big = await fetch(url, { method: "POST", body: Buffer.alloc(BYTES) });
          assert.equal(big.headers.get("x-bytes"), String(BYTES));
          assert.equal((await big.arrayBuffer()).byteLength, BYTES);
        });
      }

      test("where nothing listens it says so", async () => {
        await using forward = await startForward(kubectl, cluster, "pod/four", ":9");
        await assert.rejects(fetch(forward.url));
        // It ends then (client-go `portforward.go` closes its connection for any error): the words have come before.
        await forward.ended;
        assert.match(
          forward.output(),
          /error forwarding port 9 to pod four, uid \S+: failed to connect to localhost:9 inside the pod: .*ECONNREFUSED/,
        );
      });
    });
  }
});

/** Ready once it listens. */
function probed(name: string, host: string): string {
  const connects = `require("node:net").connect(8080, "${host}").on("connect", () => process.exit(0)).on("error", () => process.exit(1))`;
  const readinessProbe = { exec: { command: ["/node", "-e", connects] } };
  const containers = [{ name, image: "toolbox", command: ["/node", "-e", MIRROR, host], readinessProbe }];
  return JSON.stringify({ spec: { containers } });
}

interface Forward extends AsyncDisposable {
  readonly url: string;
  readonly ended: Promise<unknown>;
  /** What it has said on its standard error. */
  output(): string;
}

async function startForward(kubectl: Kubectl, cluster: TestCluster, ...args: string[]): Promise<Forward> {
  const child = spawn(kubectl.path, ["port-forward", ...args], { env: cluster.env, stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close");
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  let out = "";
  const port = await new Promise<string | undefined>((resolve) => {
    // It goes on writing a line for each connection: its output must stay open.
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      const [, found] = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(out) ?? [];
      if (found !== undefined) resolve(found);
    });
    void ended.then(() => resolve(undefined));
  });
  assert.ok(port, errors);
  return {
    url: `http://127.0.0.1:${port}/`,
    ended,
    output: () => errors,
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}
