// What goes through Services, in any mode of the proxy, is judged by the pods at both ends.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { silentLogger } from "#base";
import { formatAddr } from "#ip";
import { NETWORK_POLICIES, PODS } from "#kube";
import { type NftSocket, openNft } from "#linux";
import { policy } from "../../../core/netpol/testing/objects.ts";
import { clean, PROTOCOLS, type Stage, stage } from "../../proxy/cases/stage.ts";
import { type Host, unlessSilent } from "../../proxy/fixture.ts";
import { FAMILIES } from "../../proxy/fixture-cluster.ts";
import { startPolicies } from "../start.ts";
import type { Policies } from "../types.ts";

const SILENCE = "silence";

export function serviceCases(mode: Stage["mode"]): void {
  for (const family of FAMILIES) {
    describe(`${mode}: policies and Services over ${family.name}`, () => {
      const [podA, podB] = family.pods;
      const at = stage(mode, family, async (cluster) => {
        await cluster.set(1, family, [podB]);
        await cluster.set(2, family, [podA]);
      });
      const enforced = enforce(at);
      for (const protocol of PROTOCOLS) protocolCases(at, enforced, protocol);
    });
  }
}

/** Makes a policy of the namespace `default` the only one, or takes it away. */
type Apply = (spec?: Partial<NetworkPolicySpec>) => Promise<void>;

function enforce(at: Stage): Apply {
  let policies: Policies | undefined;
  let nft: NftSocket | undefined;
  before(async () => {
    const { cluster, fixture } = at;
    nft = openNft(fixture.node.ns);
    policies = startPolicies({ client: cluster.client, nodeName: "node-1", nft, logger: silentLogger });
    policies.open([]);
    for (const { name, addrs } of [fixture.podA, fixture.podB]) {
      const { metadata } = cluster.client.seed(PODS, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { namespace: "default", name, labels: { pod: name } },
        spec: { nodeName: "node-1", containers: [] },
        status: { podIPs: addrs.map((addr) => ({ ip: formatAddr(addr) })) },
      });
      await policies.add({ containerId: name, namespace: "default", name, uid: metadata.uid, addrs });
    }
  });
  after(() => {
    policies?.stop();
    nft?.close();
  });
  return async (spec) => {
    assert.ok(policies !== undefined);
    const { client } = at.cluster;
    const before = policies.metrics.syncs_total;
    const { apiVersion, kind, metadata, spec: wanted } = policy("default/p", spec ?? {});
    if (spec === undefined) await client.delete(NETWORK_POLICIES, { namespace: "default", name: "p" });
    else
      client.seed(NETWORK_POLICIES, {
        apiVersion,
        kind,
        metadata: { namespace: "default", name: metadata.name },
        ...(wanted && { spec: wanted }),
      });
    while (policies.metrics.syncs_total === before) await new Promise((resolve) => setImmediate(resolve));
  };
}

function protocolCases(at: Stage, apply: Apply, [protocol, ask]: (typeof PROTOCOLS)[number]): void {
  const { addrOf, family } = at;
  const { gateway, node, vip } = family;
  const onB = { podSelector: { matchLabels: { pod: "pod-b" } } };
  const onA = { podSelector: { matchLabels: { pod: "pod-a" } }, policyTypes: ["Egress"] };

  async function expect(from: Host, to: readonly [string, number], answer: string): Promise<void> {
    const asked = ask(from, ...to);
    assert.equal(clean(await (answer === SILENCE ? unlessSilent(asked) : asked)), answer, `${from.name} to ${to.join(" ")}`);
  }

  test(`${protocol}: to the pod of a Service that nobody may reach`, async () => {
    await expect(at.fixture.podA, [vip(1), 80], `pod-b ${addrOf("podA")}`);
    await apply(onB);
    await expect(at.fixture.podA, [vip(1), 80], SILENCE);
    await expect(at.fixture.podA, [node, 30_001], SILENCE);
    await expect(at.fixture.outside, [node, 30_001], SILENCE);
    await expect(at.fixture.node, [vip(1), 80], `pod-b ${gateway}`);
    await apply();
    await expect(at.fixture.podA, [vip(1), 80], `pod-b ${addrOf("podA")}`);
  });

  test(`${protocol}: the port is the pod's, not the Service's; a client outside has its own address`, async () => {
    const block = (addr: string): object => ({ ipBlock: { cidr: `${addr}/${family.index === 0 ? 32 : 128}` } });
    const rule = (port: number, ...from: object[]): Partial<NetworkPolicySpec> => ({
      ...onB,
      ingress: [{ from, ports: [{ port, protocol }] }],
    });
    await apply(rule(8080, block(addrOf("podA"))));
    await expect(at.fixture.podA, [vip(1), 80], `pod-b ${addrOf("podA")}`);
    await expect(at.fixture.outside, [node, 30_001], SILENCE);
    await apply();
    await apply(rule(80, {}));
    await expect(at.fixture.podA, [vip(1), 80], SILENCE);
    await apply();
    await apply(rule(8080, block(addrOf("outside"))));
    // The pod sees the node, since the answer has to come back here; the policy has seen the client.
    await expect(at.fixture.outside, [node, 30_001], `pod-b ${gateway}`);
    await expect(at.fixture.podA, [vip(1), 80], SILENCE);
    await apply();
  });

  test(`${protocol}: from a pod that may go to another only, and to itself`, async () => {
    await apply({ ...onA, egress: [{ to: [onB], ports: [{ port: 8080, protocol }] }] });
    await expect(at.fixture.podA, [vip(1), 80], `pod-b ${addrOf("podA")}`);
    await expect(at.fixture.podA, [vip(2), 80], `pod-a ${gateway}`);
    await expect(at.fixture.podA, [addrOf("outside"), 8080], SILENCE);
    await apply();
    await apply(onA);
    await expect(at.fixture.podA, [vip(1), 80], SILENCE);
    await expect(at.fixture.podA, [vip(2), 80], `pod-a ${gateway}`);
    await expect(at.fixture.podB, [vip(2), 80], `pod-a ${addrOf("podB")}`);
    await apply();
  });
}
