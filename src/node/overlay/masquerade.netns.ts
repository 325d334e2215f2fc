// Who sees which address of a pod, with real packets.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { silentLogger } from "#base";
import { formatAddr, parsePrefix } from "#ip";
import { type NftSocket, openNft } from "#linux";
import { Fixture, type Host, tcp, udp } from "../proxy/fixture.ts";
import { type Masquerade, startMasquerade } from "./masquerade-reconcile.ts";

const PORT = 8080;

function textOf(host: Host, index: 0 | 1): string {
  return formatAddr(host.addrs[index]);
}

suite("pods that leave the cluster", () => {
  let fixture: Fixture;
  let nft: NftSocket;
  let masquerade: Masquerade;
  before(async () => {
    fixture = new Fixture();
    for (const host of [fixture.outside, fixture.node, fixture.podB]) fixture.serve(host, PORT);
    nft = openNft(fixture.node.ns);
    const podCidrs = ["10.244.0.0/16", "fd00:10:244::/56"].map((text) => parsePrefix(text));
    masquerade = startMasquerade({ nft, podCidrs, logger: silentLogger });
    await masquerade.ready;
  });
  after(() => {
    masquerade.stop();
    nft.close();
    fixture.close();
  });

  for (const [family, index] of [
    ["IPv4", 0],
    ["IPv6", 1],
  ] as const) {
    for (const [protocol, ask] of [
      ["TCP", tcp],
      ["UDP", udp],
    ] as const) {
      const seen = async (from: Host, to: Host): Promise<string> => (await ask(from, textOf(to, index), PORT)).replace("::ffff:", "");
      test(`${family} ${protocol}: the outside sees the node, pods and the node see the pod`, async () => {
        const { podA, podB, node, outside } = fixture;
        assert.equal(await seen(podA, outside), `outside ${textOf(node, index)}`);
        assert.equal(await seen(podA, podB), `pod-b ${textOf(podA, index)}`);
        assert.equal(await seen(podA, node), `node ${textOf(podA, index)}`);
        assert.equal(await seen(node, outside), `outside ${textOf(node, index)}`);
      });
    }
  }
});
