// Golden bytes of requests, and readings of answers as a kernel gave them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr, parseMac, parsePrefix } from "#ip";
import { MessageWriter, type NetlinkMessage, splitMessages } from "../netlink/index.ts";
import type { LinkKind, Route } from "../types.ts";
import { NLM_F_CREATE, NLM_F_REPLACE } from "../uapi/netlink.ts";
import { RTM_DELROUTE, RTM_NEWROUTE } from "../uapi/rtnetlink.ts";
import { writeLinkKind } from "./link-kinds.ts";
import { readLink } from "./links.ts";
import { readRoute } from "./route-reader.ts";
import { writeRoute } from "./routes.ts";

const hex = (...parts: string[]): string => parts.join("").replaceAll(" ", "");

function routeHex(route: Route, type: number = RTM_NEWROUTE): string {
  const w = new MessageWriter();
  writeRoute(w, { type, flags: type === RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_REPLACE : 0 }, route, () => 7);
  // Without length and sequence number.
  return Buffer.from(w.bytes()).subarray(16).toString("hex");
}

function messageOf(payload: string): NetlinkMessage {
  const body = Buffer.from(payload, "hex");
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  const bytes = Buffer.concat([header, body]);
  const [message] = splitMessages(bytes, bytes.length);
  assert.ok(message !== undefined);
  return message;
}

test("an IPv4 route", () => {
  const route: Route = {
    dst: parsePrefix("10.1.2.3/24"),
    nextHops: [{ via: parseAddr("10.9.9.9"), link: "eth0", onlink: true }],
    src: parseAddr("10.0.0.1"),
    mtu: 1450,
    metric: 5,
    protocol: 200,
  };
  assert.equal(
    routeHex(route),
    hex(
      "02 18 00 00 fe c8 00 01 04000000", // AF_INET, /24, main, protocol 200, universe, unicast, RTNH_F_ONLINK
      "0800 0100 0a010200", // RTA_DST without host bits
      "0800 0f00 fe000000", // RTA_TABLE
      "0800 0600 05000000", // RTA_PRIORITY
      "0800 0700 0a000001", // RTA_PREFSRC
      "0c00 0880 0800 0200 aa050000", // RTA_METRICS { RTAX_MTU }
      "0800 0500 0a090909", // RTA_GATEWAY
      "0800 0400 07000000", // RTA_OIF
    ),
  );
});

test("an IPv6 route with two next hops", () => {
  const via = (text: string) => ({ via: parseAddr(text), link: "eth0" });
  assert.equal(
    routeHex({ dst: parsePrefix("fd01::/64"), nextHops: [{ ...via("fd00::2"), weight: 3 }, via("fd00::3")] }),
    hex(
      "0a 40 00 00 fe 03 00 01 00000000",
      "1400 0100 fd010000000000000000000000000000",
      "0800 0f00 fe000000",
      "3c00 0980", // RTA_MULTIPATH
      "1c00 00 02 07000000 1400 0500 fd000000000000000000000000000002",
      "1c00 00 00 07000000 1400 0500 fd000000000000000000000000000003",
    ),
  );
});

test("a table beyond 255, a gateway of the other family, a deletion", () => {
  assert.equal(
    routeHex({ dst: parsePrefix("0.0.0.0/0"), type: "prohibit", nextHops: [], table: 1000 }),
    hex("02 00 00 00 fc 03 00 08 00000000", "0800 0f00 e8030000"),
  );
  assert.equal(
    routeHex({ dst: parsePrefix("10.1.0.0/24"), nextHops: [{ via: parseAddr("fe80::1"), link: "eth0" }] }),
    hex(
      "02 18 00 00 fe 03 00 01 00000000",
      "0800 0100 0a010000 0800 0f00 fe000000",
      "1600 1200 0a00 fe800000000000000000000000000001 0000", // RTA_VIA { family, address }
      "0800 0400 07000000",
    ),
  );
  assert.equal(
    routeHex({ dst: parsePrefix("10.1.0.0/24"), nextHops: [] }, RTM_DELROUTE),
    hex("02 18 00 00 fe 00 ff 00 00000000", "0800 0100 0a010000 0800 0f00 fe000000"),
  );
});

function kindHex(type: LinkKind): string {
  const w = new MessageWriter();
  w.begin(0, 0);
  writeLinkKind(w, { name: "x", type }, () => 7);
  return Buffer.from(w.bytes()).subarray(16).toString("hex");
}

test("kinds of links", () => {
  const kind = (name: string): string => Buffer.from(`${name}\0`).toString("hex");
  assert.equal(
    kindHex({ kind: "vxlan", vni: 1, port: 8472, learning: false, local: parseAddr("10.0.0.1"), device: "eth0" }),
    hex(
      "3c00 1280", // IFLA_LINKINFO
      `0a00 0100 ${kind("vxlan")} 0000`,
      "2c00 0280", // IFLA_INFO_DATA
      "0800 0100 01000000", // IFLA_VXLAN_ID
      "0800 0300 07000000", // IFLA_VXLAN_LINK
      "0800 0400 0a000001", // IFLA_VXLAN_LOCAL
      "0500 0700 00000000", // IFLA_VXLAN_LEARNING
      "0600 0f00 21180000", // IFLA_VXLAN_PORT, network order
    ),
  );
  assert.equal(
    kindHex({ kind: "veth", peer: { name: "b", mac: parseMac("02:00:00:00:00:01"), mtu: 1400 } }),
    hex(
      "4400 1280",
      `0900 0100 ${kind("veth")} 000000`,
      "3400 0280",
      "3000 0180", // VETH_INFO_PEER, an ifinfomsg first
      "00000000000000000000000000000000",
      "0600 0300 6200 0000",
      "0a00 0100 020000000001 0000",
      "0800 0400 78050000",
    ),
  );
  assert.equal(
    kindHex({ kind: "macvlan", parent: "eth0", mode: "bridge" }),
    hex("0800 0500 07000000", "1c00 1280", `0c00 0100 ${kind("macvlan")}`, "0c00 0280 0800 0100 04000000"),
  );
});

test("kinds that only some kernels have", () => {
  const kind = (name: string): string => Buffer.from(`${name}\0`).toString("hex");
  assert.equal(
    kindHex({ kind: "vlan", parent: "eth0", id: 7 }),
    hex("0800 0500 07000000", "1c00 1280", `0900 0100 ${kind("vlan")} 000000`, "0c00 0280 0600 0100 0700 0000"),
  );
  assert.equal(kindHex({ kind: "dummy" }), hex("1400 1280", `0a00 0100 ${kind("dummy")} 0000`, "0400 0280"));
});

test("a route as a kernel tells it", () => {
  const names = new Map([[7, "eth0"]]);
  const plain = hex("02 18 00 00 fe c8 00 01 04000000", "0800 0f00 fe000000 0800 0100 0a010000 0800 0500 0a000002 0800 0400 07000000");
  assert.deepEqual(readRoute(messageOf(plain), names), {
    dst: parsePrefix("10.1.0.0/24"),
    type: "unicast",
    nextHops: [{ via: parseAddr("10.0.0.2"), link: "eth0", onlink: true }],
    table: 254,
    protocol: 200,
    scope: "global",
  });
  const broadcast = hex("02 20 00 00 ff 02 fd 03 00000000", "0800 0f00 ff000000 0800 0100 0a0000ff");
  assert.equal(readRoute(messageOf(broadcast), names), undefined);
});

test("a link as a kernel tells it", () => {
  const payload = hex(
    "00000100 02000000 43100000 00000000", // ifinfomsg: index 2, IFF_UP
    "0900 0300 6574683000 000000", // IFLA_IFNAME
    "0800 0400 aa050000", // IFLA_MTU
    "0500 1000 06 000000", // IFLA_OPERSTATE
    "0a00 0100 020000000001 0000", // IFLA_ADDRESS
    "0800 0500 05000000", // IFLA_LINK
    "1000 1200 0900 0100 7665746800 000000", // IFLA_LINKINFO { IFLA_INFO_KIND }
  );
  assert.deepEqual(readLink(messageOf(payload)), {
    index: 2,
    name: "eth0",
    kind: "veth",
    mac: parseMac("02:00:00:00:00:01"),
    mtu: 1450,
    up: true,
    operState: "up",
    masterIndex: undefined,
    peerIndex: 5,
    parentIndex: undefined,
    stats: { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 },
  });
});
