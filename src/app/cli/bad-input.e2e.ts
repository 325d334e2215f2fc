// What people get wrong, and what they are told; the cluster goes on each time.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, suite, test } from "node:test";
import { createInformer } from "#client";
import { PODS } from "#kube";
import { command, ROOT, startTestCluster, type TestCluster } from "../testing/cluster.ts";

interface Row {
  readonly args: readonly string[];
  readonly code: number;
  readonly says: RegExp;
}

const FLAGS: readonly Row[] = [
  { args: ["up", "--nodes", "none"], code: 2, says: /--nodes.*'none' is invalid.*whole number/s },
  { args: ["up", "--nodes", "0"], code: 2, says: /--nodes.*'0' is invalid.*from 1 to/s },
  { args: ["up", "--ip-family", "ipv5"], code: 2, says: /--ip-family.*'ipv5' is invalid.*ipv4, ipv6, dual/s },
  { args: ["up", "--overlay", "gre"], code: 2, says: /--overlay.*'gre' is invalid.*vxlan, host-gw/s },
  { args: ["up", "--name", "No_Good"], code: 2, says: /--name <name>' argument 'No_Good' is invalid. "No_Good" is not a cluster name/ },
  { args: ["exec", "web", "--name", "", "--", "true"], code: 2, says: /--name <name>' argument '' is invalid/ },
  { args: ["up", "--color"], code: 2, says: /unknown option '--color'/ },
  { args: ["down", "--name", "nobody"], code: 1, says: /there is no cluster "nobody"/ },
  { args: ["status", "--name", "nobody"], code: 1, says: /there is no cluster "nobody"/ },
  { args: ["kubeconfig", "--name", "nobody"], code: 1, says: /there is no cluster "nobody"/ },
  { args: ["status", "-o", "xml"], code: 2, says: /'xml' is invalid.*text, json/s },
  { args: ["service"], code: 2, says: /missing required argument 'name'/ },
  { args: ["service", "web", "--name", "nobody"], code: 1, says: /there is no cluster "nobody"/ },
  { args: ["check", "--name", "nobody"], code: 2, says: /there is no cluster "nobody"/ },
  { args: ["check", "--only", "99"], code: 2, says: /--only: "99" is no check/ },
  { args: ["trace", "a", "b", "--name", "nobody"], code: 2, says: /there is no cluster "nobody"/ },
  { args: ["explain", "a", "b", "--name", "nobody"], code: 2, says: /there is no cluster "nobody"/ },
  { args: ["watch", "drops", "--name", "nobody"], code: 2, says: /there is no cluster "nobody"/ },
  { args: ["reach", "--name", "nobody"], code: 2, says: /there is no cluster "nobody"/ },
  { args: ["what-if", "-f", `${ROOT}examples/shop`, "--name", "nobody"], code: 2, says: /there is no cluster "nobody"/ },
  { args: ["what-if", "-f", "/dev/null"], code: 2, says: /--filename: there are no objects in \/dev\/null/ },
  { args: ["apply"], code: 2, says: /--filename/ },
  { args: ["get"], code: 2, says: /missing required argument 'resource'/ },
  { args: ["logs"], code: 2, says: /missing required argument 'pod'/ },
  { args: ["exec", "web"], code: 2, says: /missing required argument 'command'/ },
  { args: ["get", "pods", "-o", "toml"], code: 2, says: /--output.*'toml' is invalid.*wide, json, yaml, name/ },
  { args: ["delete", "pods"], code: 2, says: /say what to delete/ },
  { args: ["demo", "--fast"], code: 2, says: /unknown option '--fast'/ },
  { args: ["dwon"], code: 2, says: /unknown command 'dwon'.*down/s },
];

const scratch: string[] = [];
function scratchDir(): string {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-bad-input-`);
  scratch.push(dir);
  return dir;
}
after(() => {
  for (const dir of scratch) rmSync(dir, { recursive: true, force: true });
});

test("wrong flags name the flag and the value", async () => {
  const home = scratchDir();
  for (const { args, code, says } of FLAGS) {
    const result = await command(`${ROOT}fairlead`, args, { ...process.env, FAIRLEAD_HOME: home });
    assert.match(result.stderr, says, args.join(" "));
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}`);
  }
});

test("directories that are not clusters are never removed", async () => {
  const home = `${scratchDir()}/home`;
  mkdirSync(`${home}/letters`, { recursive: true });
  writeFileSync(`${home}/letters/mum.txt`, "dear");
  const env = { ...process.env, FAIRLEAD_HOME: home };
  for (const [args, says, code] of [
    [["down", "--all"], /There are no clusters/, 0],
    [["down", "--name", "letters"], /there is no cluster "letters"/, 1],
    [["up", "--name", "letters"], /letters is there already and is not a cluster/, 1],
    [["demo", "--name", "letters"], /letters is there already and is not a cluster/, 1],
    [["demo", "--name", ".."], /--name .*"\.\." is not a cluster name/, 2],
    [["get", "pods", "--name", "../home"], /--name .*"\.\.\/home" is not a cluster name/, 2],
  ] as const) {
    const result = await command(`${ROOT}fairlead`, args, env);
    assert.match(result.stderr, says, args.join(" "));
    assert.equal(result.code, code, args.join(" "));
    assert.equal(readFileSync(`${home}/letters/mum.txt`, "utf8"), "dear");
  }
});

test("a home whose sockets would have too long a path", async () => {
  const home = `${scratchDir()}/${"x".repeat(80)}`;
  const result = await command(`${ROOT}fairlead`, ["up"], { ...process.env, FAIRLEAD_HOME: home });
  assert.match(result.stderr, /FAIRLEAD_HOME: ".*" is too long/);
  assert.equal(result.code, 1);
});

const port70000 = "apiVersion: v1\nkind: Service\nmetadata: { name: high }\nspec: { ports: [{ port: 70000 }] }\n";
const unknownField = "apiVersion: v1\nkind: Service\nmetadata: { name: odd }\nspec: { selctor: { app: a }, ports: [{ port: 80 }] }\n";

suite("in a cluster", () => {
  let cluster: TestCluster;
  let dir: string;
  before(async () => {
    cluster = await startTestCluster({ name: "bad-input", flags: ["--nodes", "1"] });
    dir = scratchDir();
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  const applyText = (text: string): ReturnType<TestCluster["fairlead"]> => {
    writeFileSync(`${dir}/m.yaml`, text);
    return cluster.fairlead("apply", "-f", `${dir}/m.yaml`);
  };

  test("a Service with port 70000 is refused with field and value", async () => {
    const result = await applyText(port70000);
    assert.match(result.stderr, /spec\.ports\[0\]\.port: Invalid value: 70000: must be between 1 and 65535, inclusive/);
    assert.equal(result.code, 1);
  });

  test("an unknown field is named", async () => {
    const result = await applyText(unknownField);
    assert.match(result.stderr, /unknown field "spec\.selctor"/);
    assert.equal(result.code, 1);
  });

  test("what is not YAML, has no kind, or a kind that nobody serves", async () => {
    for (const [text, says] of [
      ["a: [", /m\.yaml/],
      ["apiVersion: v1\nmetadata: { name: a }\n", /kind is missing/],
      ["apiVersion: v9\nkind: Pod\nmetadata: { name: a }\n", /no resource serves kind "Pod" of apiVersion "v9"/],
      ["apiVersion: v1\nkind: Pod\n", /metadata\.name is missing/],
    ] as const) {
      const result = await applyText(text);
      assert.match(result.stderr, says);
      assert.equal(result.code, 1);
    }
  });

  test("a second cluster of the same name", async () => {
    const result = await cluster.fairlead("up");
    assert.match(result.stderr, /a cluster named "bad-input" is running.*fairlead down --name bad-input/);
    assert.equal(result.code, 1);
  });

  test("a port that is taken", async () => {
    const { state } = { state: JSON.parse((await cluster.fairlead("status", "-o", "json")).stdout) as { server: string } };
    const port = new URL(state.server).port;
    const result = await command(`${ROOT}fairlead`, ["up", "--name", "second", "--api-port", port], cluster.env);
    assert.match(result.stderr, new RegExp(`port ${port} of 127\\.0\\.0\\.1 is taken`));
    assert.equal(result.code, 1);
  });

  test("a Pod with an unknown image says what there is", async () => {
    const spec = { containers: [{ name: "c", image: "nginx:1.27" }] };
    await cluster.client.create(PODS, { metadata: { name: "unknown-image", namespace: "default" }, spec });
    const pods = createInformer(cluster.client, PODS, { namespace: "default" });
    const message = await new Promise<string>((resolve) => {
      pods.subscribe((change) => {
        const waiting = change.object.status?.containerStatuses?.[0]?.state?.waiting;
        if (waiting?.reason === "ErrImagePull" || waiting?.reason === "ImagePullBackOff") resolve(waiting.message ?? "");
      });
    });
    pods.stop();
    assert.match(message, /nginx:1\.27/);
    assert.match(message, /agnhost/);
    await cluster.client.delete(PODS, { namespace: "default", name: "unknown-image" });
  });

  test("absent things", async () => {
    const rows: readonly [readonly [string, ...string[]], RegExp][] = [
      [["get", "pods", "nobody"], /pods "nobody" not found/],
      [["logs", "nobody"], /pods "nobody" not found/],
      [["exec", "nobody", "--", "true"], /pods "nobody" not found/],
      [["delete", "pod", "nobody"], /pods "nobody" not found/],
      [["get", "gadgets"], /there is no resource "gadgets"/],
    ];
    for (const [args, says] of rows) {
      const result = await cluster.fairlead(...args);
      assert.match(result.stderr, says, args.join(" "));
      assert.equal(result.code, 1);
    }
  });

  test("a reader that has seen enough", async () => {
    const result = await command("sh", ["-c", `${ROOT}fairlead get all -A -o json --name ${cluster.name} | true`], cluster.env);
    assert.deepEqual(result, { code: 0, stdout: "", stderr: "" });
  });

  test("and the cluster goes on", async () => {
    const result = await cluster.fairlead("status", "-o", "json");
    assert.equal((JSON.parse(result.stdout) as { state: string }).state, "running", result.stdout);
  });
});
