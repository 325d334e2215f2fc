// `fairlead service`: what nodes say of a Service they make, and what they say of one they do not.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { ServiceReport } from "#proxy";
import { startTestCluster, type TestCluster } from "../testing/cluster.ts";

suite("service", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster({ name: "service", flags: ["--nodes", "2", "--ip-family", "ipv4"] });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  test("each node tells its mode, the addresses and who is behind them", async () => {
    const { code, stdout, stderr } = await cluster.fairlead("service", "kube-dns", "-n", "kube-system", "-o", "json");
    assert.equal(code, 0, stderr);
    const reports = JSON.parse(stdout) as readonly ServiceReport[];
    assert.deepEqual(
      reports.map(({ node, mode, service }) => [node, mode, service]),
      ["node-1", "node-2"].map((node) => [node, "nftables", "kube-system/kube-dns"]),
    );
    for (const { frontends, backends } of reports) {
      const udp = frontends.find(({ address, protocol }) => address === "10.96.0.10:53" && protocol === "UDP");
      assert.ok(udp !== undefined && udp.backends.length > 0, JSON.stringify(frontends));
      for (const id of udp.backends) assert.match(backends.find((backend) => backend.id === id)?.node ?? "", /^node-[12]$/);
    }
    const text = await cluster.fairlead("service", "kube-dns", "-n", "kube-system", "--node", "node-2");
    assert.match(text.stdout, /^Service kube-system\/kube-dns {2}ClusterIP\n\nnode-2 {2}nftables\n[\s\S]*10\.96\.0\.10:53\/UDP +ClusterIP/);
    assert.doesNotMatch(text.stdout, /node-1 {2}nftables/);
  });

  test("what is not there is named", async () => {
    const noService = await cluster.fairlead("service", "nobody");
    assert.equal(noService.code, 1);
    assert.match(noService.stderr, /services "nobody" not found/);
    const noNode = await cluster.fairlead("service", "kubernetes", "--node", "node-9");
    assert.equal(noNode.code, 1);
    assert.match(noNode.stderr, /there is no node "node-9"; there are: node-1, node-2/);
  });
});
