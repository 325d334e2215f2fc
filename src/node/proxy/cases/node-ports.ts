// At which of a node's addresses NodePorts answer, with real packets, in any mode.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hostPrefix, parseAddr, parsePrefix } from "#ip";
import type { ProxyMode } from "../dataplane.ts";
import { connect, tcp, udp, unlessSilent } from "../fixture.ts";
import { FAMILIES, type Family } from "../fixture-cluster.ts";
import { stage } from "./stage.ts";

const NO_ONE = "ECONNREFUSED";

export function nodePortAddressCases(mode: ProxyMode): void {
  for (const family of FAMILIES) {
    primaryCases(mode, family);
    blockCases(mode, family);
    localhostCases(mode, family);
  }
}

/** An address of the outside's network that the node gets beside its own. */
const SECOND: readonly [string, string] = ["172.18.0.99", "fd00:18::99"];

const THIRD: readonly [string, string] = ["172.18.0.98", "fd00:18::98"];

function primaryCases(mode: ProxyMode, family: Family): void {
  describe(`${mode}: NodePorts at the primary addresses, ${family.name}`, () => {
    const at = stage(mode, family, async (cluster) => cluster.set(1, family, [family.pods[1]]));

    test("not at other addresses of the node, nor at loopback ones", async () => {
      const { node, outside } = at.fixture;
      const second = SECOND[family.index];
      node.route.addrs.set({ link: "eth0", prefix: hostPrefix(parseAddr(second)) });
      assert.match(await tcp(outside, family.node, 30_001), /^pod-b /);
      assert.equal(await tcp(outside, second, 30_001), NO_ONE);
      assert.equal(await udp(outside, second, 30_001), NO_ONE);
      assert.equal(await tcp(node, second, 30_001), NO_ONE);
      assert.equal(await tcp(node, family.index === 0 ? "127.0.0.1" : "::1", 30_001), NO_ONE);
    });
  });
}

function blockCases(mode: ProxyMode, family: Family): void {
  const blocks = [parsePrefix("172.18.0.64/26"), parsePrefix("fd00:18::80/121"), parsePrefix("127.0.0.0/8"), parsePrefix("::1/128")];
  describe(`${mode}: NodePorts at addresses in blocks, ${family.name}`, () => {
    const at = stage(mode, family, async (cluster) => cluster.set(1, family, [family.pods[1]]), { nodePortAddresses: blocks });

    test("as they come and go; never at loopback addresses", async () => {
      const { node, outside } = at.fixture;
      const second = SECOND[family.index];
      const prefix = hostPrefix(parseAddr(second));
      assert.equal(await tcp(outside, family.node, 30_001), NO_ONE);
      node.route.addrs.set({ link: "eth0", prefix });
      while (!/^pod-b /.test(await tcp(outside, second, 30_001))) await at.cluster.proxy.idle();
      assert.match(await udp(outside, second, 30_001), /^pod-b /);
      assert.equal(await tcp(outside, family.node, 30_001), NO_ONE);
      assert.equal(await tcp(node, family.index === 0 ? "127.0.0.1" : "::1", 30_001), NO_ONE);
      assert.match(await tcp(node, second, 30_001), /^pod-b /);
      node.route.addrs.del({ link: "eth0", prefix });
      // A connection to nobody's address would wait for its neighbour; another address keeps it the node's.
      node.route.addrs.set({ link: "lo", prefix: hostPrefix(parseAddr(THIRD[family.index])) });
      while (!/^pod-b /.test(await unlessSilent(tcp(node, THIRD[family.index], 30_001)))) await at.cluster.proxy.idle();
    });
  });
}

function localhostCases(mode: ProxyMode, family: Family): void {
  describe(`${mode}: NodePorts at loopback addresses, ${family.name}`, () => {
    const at = stage(mode, family, async (cluster) => cluster.set(1, family, [family.pods[1]]), { localhostNodePorts: true });
    const loopback = family.index === 0 ? "127.0.0.1" : "::1";

    test("where asked for: TCP from the node itself, carried both ways, gone with the Service", async () => {
      const { node } = at.fixture;
      while ((await tcp(node, loopback, 30_001)) === NO_ONE) await new Promise((resolve) => setImmediate(resolve));
      const connection = await connect(node, loopback, 30_001);
      for (let i = 0; i < 3; i++) assert.match(await connection.ask(), /^pod-b /);
      connection.end();
      await at.cluster.drop(`s1-${family.name.toLowerCase()}`);
      while ((await tcp(node, loopback, 30_001)) !== NO_ONE) await new Promise((resolve) => setImmediate(resolve));
    });
  });
}
