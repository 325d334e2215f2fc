// `fairlead what-if` and `fairlead reach` on a whole cluster: random changes do what was foreseen, and bad input is refused.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, suite, test } from "node:test";
import { MatrixCluster } from "../../../matrix/whatif/cluster.ts";
import { runChanges } from "../../../matrix/whatif/run.ts";
import type { CommandResult } from "../testing/cluster.ts";

/** `npm run matrix:whatif` makes 200. */
const CHANGES = 10;

suite("what-if and reach", () => {
  let matrix: MatrixCluster;
  const dir = mkdtempSync(`${tmpdir()}/what-if-`);

  before(async () => {
    matrix = await MatrixCluster.start();
  });

  after(async () => {
    await matrix[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  const write = (name: string, text: string): string => {
    writeFileSync(`${dir}/${name}`, text);
    return `${dir}/${name}`;
  };
  const whatIf = (...args: string[]): Promise<CommandResult> => matrix.cluster.fairlead("what-if", ...args);

  const closed = (): string =>
    write(
      "closed.yaml",
      `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed, namespace: x }
spec: { podSelector: {}, policyTypes: [Ingress] }
`,
    );

  test("a default deny: who is denied by what, in words and as data; nothing is changed by asking", async () => {
    const text = await whatIf("-f", closed());
    assert.equal(text.code, 0, text.stderr);
    assert.match(
      text.stdout,
      /-> all pods of x \(3\): everything IPv4\+IPv6: allowed -> denied, by NetworkPolicy x\/closed \(default deny ingress\)/,
    );
    assert.match(text.stdout, /-> ClusterIP of Service x\/one TCP 80 IPv4\+IPv6: allowed -> denied/);
    assert.match(text.stdout, /what a node says to its own pods always passes/);
    const json = JSON.parse((await whatIf("-f", closed(), "-o", "json")).stdout) as { changes: { after: string }[] };
    assert.ok(json.changes.length > 0);
    assert.equal((await matrix.cluster.fairlead("get", "netpol", "-n", "x", "-o", "name")).stdout.includes("closed"), false);
  });

  test("a kubeconfig and a context do as well as a cluster's name", async () => {
    const kubeconfig = matrix.cluster.env["KUBECONFIG"] ?? "";
    const { code, stdout, stderr } = await whatIf("-f", closed(), "--kubeconfig", kubeconfig);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /by NetworkPolicy x\/closed/);
    const unknown = await whatIf("-f", closed(), "--kubeconfig", kubeconfig, "--context", "elsewhere");
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /contexts: has no entry named "elsewhere"/);
  });

  test("a label that was applied and is left out goes, as it then does", async () => {
    const namespace = (labels: string): string =>
      write("left.yaml", `apiVersion: v1\nkind: Namespace\nmetadata: { name: left, labels: { ${labels} } }\n`);
    await matrix.cluster.fairlead("apply", "-f", namespace("team: red, tier: a"));
    const { stdout } = await whatIf("-f", namespace("tier: a"));
    assert.match(stdout, /Namespace "left" loses metadata\.labels\["team"\]/);
    assert.doesNotMatch(stdout, /"tier"/);
    await matrix.cluster.fairlead("apply", "-f", namespace("tier: a"));
    const labels = await matrix.cluster.fairlead("get", "namespace", "left", "-o", "json");
    assert.match(labels.stdout, /"tier": ?"a"/);
    assert.doesNotMatch(labels.stdout, /"team"/);
    await matrix.cluster.fairlead("delete", "namespace", "left");
  });

  test("expectations fail with a packet, and hold without one", async () => {
    const expectations = write(
      "expect.yaml",
      `expectations:
- name: y must reach x
  always: { from: { namespace: y }, to: { namespace: x }, port: 80 }
- never: { from: { namespace: y, pods: pod=a }, to: { namespace: x }, port: 80 }
`,
    );
    const { code, stdout } = await whatIf("-f", closed(), "--fail-on", expectations);
    assert.equal(code, 1);
    assert.match(stdout, /Expectations: 1 of 2 hold/);
    assert.match(
      stdout,
      /y must reach x: y\/\w \(10\.244\.\d+\.\d+\) -> x\/\w \(10\.244\.\d+\.\d+\) TCP 80 is denied: NetworkPolicy x\/closed/,
    );
  });

  test("bad input is refused by file, document and field", async () => {
    const policy = (spec: string): string =>
      `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: bad, namespace: x }\nspec: ${spec}\n`;
    const cases: [string, RegExp][] = [
      [
        policy("{ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/33 } }] }] }"),
        /document 1: spec\.ingress\[0\]\.from\[0\]\.ipBlock\.cidr: /,
      ],
      [
        policy("{ podSelector: {}, ingress: [{ ports: [{ port: 90, endPort: 80 }] }] }"),
        /document 1: spec\.ingress\[0\]\.ports\[0\]\.endPort: /,
      ],
      [policy("{ podSelector: {}, ingress: [{ ports: [{ protocol: HTTP }] }] }"), /document 1: spec\.ingress\[0\]\.ports\[0\]\.protocol: /],
      [policy("{ podSelector: {}, ingres: [] }"), /document 1: NetworkPolicy "bad": unknown field "spec\.ingres"/],
      [policy("{ podSelector: {}, ingress: 5 }"), /document 1: NetworkPolicy "bad": .*spec\.ingress/],
      [`${policy("{ podSelector: {} }")}---\nkind: Pod\n`, /document 2: apiVersion is missing/],
      ["a: [", /bad\.yaml: /],
    ];
    for (const [text, message] of cases) {
      const { code, stderr } = await whatIf("-f", write("bad.yaml", text));
      assert.equal(code, 2);
      assert.match(stderr, message);
    }
    const { code, stderr } = await whatIf(
      "-f",
      closed(),
      "--fail-on",
      write("bad.yaml", "expectations: [{ never: { to: nodes, port: http } }]"),
    );
    assert.equal(code, 2);
    assert.match(stderr, /expectations\[0\]\.never\.port: "http" is not a port/);
    const { stdout } = await whatIf("-f", write("config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\n"));
    assert.match(stdout, /nothing changes/);
    assert.match(stdout, /ConfigMap "c" \(v1\) has no effect on the network/);
  });

  test("random changes do what was foreseen, and reach agrees with real connections in the end", async (t) => {
    const { wrong, cells, effective } = await runChanges({ changes: CHANGES, seed: 1, matrix });
    t.diagnostic(`${CHANGES} changes, ${effective} with an effect, ${cells} packets after each`);
    assert.deepEqual(wrong, []);
    assert.ok(effective > 0, "none of the changes has an effect");
    const { code, stdout, stderr } = await matrix.cluster.fairlead("reach", "--from", "pod=a", "--to", "pod", "--port", "80", "--probe");
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /(\d+) of \1 real probes are as foreseen/);
  });
});
