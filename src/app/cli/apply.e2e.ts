// `fairlead apply`, again and again.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, suite, test } from "node:test";
import { CONFIG_MAPS, PODS, SERVICES } from "#kube";
import { startTestCluster, type TestCluster } from "../testing/cluster.ts";

const pod = (image: string): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec: { containers: [{ name: c, image: ${image}, command: [sleep, "1000"] }] }\n`;
const ports = (...list: number[]): string => list.map((port) => `{ name: "p${port}", port: ${port} }`).join(", ");
const service = (...list: number[]): string =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec: { type: NodePort, ports: [${ports(...list)}] }\n`;
const configMap = (data: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: m }\ndata: ${data}\n`;

suite("apply", () => {
  let cluster: TestCluster;
  const dir = mkdtempSync(`${tmpdir()}/fairlead-apply-`);
  before(async () => {
    cluster = await startTestCluster({ name: "apply", flags: ["--nodes", "1"] });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  async function apply(text: string): Promise<string> {
    writeFileSync(`${dir}/m.yaml`, text);
    const { stdout, stderr } = await cluster.fairlead("apply", "-f", `${dir}/m.yaml`);
    return `${stdout}${stderr}`;
  }

  test("a Pod, to which the server adds a volume mount: again, and with another image", async () => {
    assert.equal(await apply(pod("toolbox")), "pod/p created\n");
    assert.match(await apply(pod("toolbox")), /^pod\/p (un|con)/);
    assert.equal(await apply(pod("toolbox:2")), "pod/p configured\n");
    const { spec } = await cluster.client.get(PODS, { namespace: "default", name: "p" });
    assert.deepEqual(
      spec?.containers.map(({ image, volumeMounts = [] }) => [image, volumeMounts.length]),
      [["toolbox:2", 1]],
    );
  });

  test("a Service keeps the node port of a port that stays", async () => {
    const nodePorts = async (): Promise<(readonly [number, number | undefined])[]> =>
      ((await cluster.client.get(SERVICES, { namespace: "default", name: "s" })).spec?.ports ?? []).map((p) => [p.port, p.nodePort]);
    assert.equal(await apply(service(80, 81)), "service/s created\n");
    const [, second] = await nodePorts();
    assert.equal(await apply(service(80, 81)), "service/s unchanged\n");
    assert.equal(await apply(service(81)), "service/s configured\n");
    assert.deepEqual(await nodePorts(), [second]);
  });

  test("what is no longer in the manifest is removed, what others set stays", async () => {
    const key = { namespace: "default", name: "m" };
    assert.equal(await apply(configMap("{ a: x, b: y }")), "configmap/m created\n");
    await cluster.client.patch(CONFIG_MAPS, key, { type: "merge", body: { data: { c: "z" } } }, { fieldManager: "somebody" });
    assert.equal(await apply(configMap("{ b: y }")), "configmap/m configured\n");
    assert.deepEqual((await cluster.client.get(CONFIG_MAPS, key)).data, { b: "y", c: "z" });
  });
});
