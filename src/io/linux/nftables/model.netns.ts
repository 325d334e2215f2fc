// The model's evaluator against the kernel's: random small rulesets in the output hook, and datagrams over loopback. What passes is
// written into a set, with its mark, by a chain that comes after.
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { addrEquals, type Family, formatAddr, formatAddrPort, hostPrefix } from "#ip";
import * as model from "#model";
import {
  type BaseChain,
  concat,
  type Datatype,
  diffTable,
  type Element,
  type Expr,
  equals,
  formatElement,
  formatTable,
  meta,
  type NftSet,
  payload,
  type Rule,
  type Table,
  UDP,
} from "#nft";
import { parted } from "../../../core/model/evaluate/scalar.ts";
import { ADDRS, packets, rulesets, SRC_PORTS } from "../../../core/model/testing/rulesets.ts";
import { netns, openNft, openRoute, udpFd } from "../index.ts";
import type { NetNs } from "../types.ts";
import type { NftSocket } from "./types.ts";

const BASES: readonly BaseChain[] = (["accept", "drop"] as const).map((policy) => ({
  type: "filter",
  hook: "output",
  priority: 0,
  policy,
}));
const AFTER: BaseChain = { type: "filter", hook: "output", priority: 10, policy: "accept" };
const RUNS = 150;
const PACKETS = 24;

function seenSet(family: Family): NftSet {
  const addr: Datatype = family === 4 ? "ipv4_addr" : "ipv6_addr";
  return { name: "seen", key: [addr, addr, "inet_service", "inet_service", "mark"], flags: ["dynamic"], size: 1000, elements: [] };
}

/** The table, and what writes down what has passed it. */
function observed(table: Table, family: Family): Table {
  const [saddr, daddr] = family === 4 ? (["ip saddr", "ip daddr"] as const) : (["ip6 saddr", "ip6 daddr"] as const);
  const key: Expr = concat(payload(saddr), payload(daddr), payload("th sport"), payload("th dport"), meta("mark"));
  const rule: Rule = { statements: [equals(meta("l4proto"), UDP), { kind: "dynset", op: "add", set: "seen", key }] };
  return { ...table, sets: [...table.sets, seenSet(family)], chains: [...table.chains, { name: "after", base: AFTER, rules: [rule] }] };
}

function changesOf(table: Table): Parameters<NftSocket["apply"]>[0] {
  return diffTable(undefined, table).changes;
}

for (const family of [4, 6] as const) {
  describe(`random rulesets and datagrams over IPv${family}`, () => {
    let ns: NetNs;
    let nft: NftSocket;
    const sockets = new Map<string, Socket>();

    before(() => {
      ns = netns.createAnonymous();
      const route = openRoute(ns);
      route.links.change("lo", { up: true });
      for (const addr of ADDRS[family]) {
        route.addrs.set({ link: "lo", prefix: hostPrefix(addr) });
        for (const port of SRC_PORTS) {
          const socket = createSocket(family === 4 ? "udp4" : "udp6");
          socket.bind({ fd: udpFd(ns, addr, port) });
          // What is dropped in the output hook is an error of the call.
          socket.on("error", () => {});
          sockets.set(formatAddrPort(addr, port), socket);
        }
      }
      route.close();
      nft = openNft(ns);
    });
    after(() => {
      for (const socket of sockets.values()) socket.close();
      nft.close();
      ns.close();
    });

    async function inKernel(table: Table, some: readonly model.Packet[]): Promise<string[]> {
      nft.apply(changesOf(table));
      try {
        for (const { src, dst, srcPort = 0, dstPort = 0 } of some) {
          const socket = sockets.get(formatAddrPort(src, srcPort)) ?? assert.fail();
          await new Promise((resolve) => socket.send("", dstPort, formatAddr(dst), resolve));
        }
        return textOf([...nft.elements(table, seenSet(family))]);
      } finally {
        nft.apply([{ op: "delete table", table }]);
      }
    }

    function textOf(elements: readonly Element[]): string[] {
      return elements.map((element) => formatElement(seenSet(family), element)).sort();
    }

    function foreseen(table: Table, some: readonly model.Packet[]): string[] {
      const addrs = ADDRS[family].map((addr) => ({ link: "lo", prefix: hostPrefix(addr) }));
      const links = [{ name: "lo", type: { kind: "loopback" }, up: true } as const];
      const network = model.prepareNetwork({ namespaces: [{ name: "self", links, addrs, routes: [], tables: [table] }] });
      const { key: types } = seenSet(family);
      const passed = some.flatMap(({ src, dst, srcPort = 0, dstPort = 0 }) => {
        const question = { from: "self", protocol: UDP, src, srcPort, dst, dstPort };
        const { memory } = model.roundTrip(network, question, Math.random, { remember: true });
        return (memory?.elements["self"] ?? []).map(({ key }): Element => {
          const [, , sport = 0, dport = 0, mark = 0] = parted(types, key);
          return { key: [src, dst, sport, dport, mark] };
        });
      });
      return [...new Set(textOf(passed))];
    }

    test("pass and are marked as the model says", async () => {
      let passed = 0;
      let asked = 0;
      const property = fc.asyncProperty(
        fc.constantFrom(...BASES).chain((base) => rulesets(base, family)),
        fc.array(packets(family, [UDP]), { minLength: PACKETS, maxLength: PACKETS }),
        async (random, all) => {
          const table = observed(random, family);
          // Its own datagram comes back to a socket that sends to itself.
          const some = all.filter(({ src, dst, srcPort, dstPort }) => !(addrEquals(src, dst) && srcPort === dstPort));
          const expected = foreseen(table, some);
          assert.deepEqual(await inKernel(table, some), expected, formatTable(table));
          passed += expected.length;
          asked += new Set(some.map((packet) => model.formatPacket(packet))).size;
        },
      );
      await fc.assert(property, { numRuns: RUNS });
      assert.ok(passed > asked / 10 && passed < (asked * 9) / 10, `${passed} of ${asked} passed`);
    });
  });
}
