// Links of the fake kernel, and what goes with them when they go down, move or are deleted.
import type { Mac } from "#ip";
import { parseAddr } from "#ip";
import type { Link, LinkChange, LinkKind, NewLink, RouteSocket } from "../types.ts";
import { type FakeAddr, type FakeLink, type FakeState, refusal, stateOf } from "./state.ts";

const DEFAULT_MTU = 1500;
const PORT_DEFAULTS = { isolated: false, hairpin: false, learning: true, proxyArp: false } as const;

let lastMac = 0;

/** Locally administered, and different each time. */
function newMac(): Mac {
  const n = ++lastMac;
  return Uint8Array.of(0x02, 0xfa, (n >> 24) & 0xff, (n >> 16) & 0xff, (n >> 8) & 0xff, n & 0xff);
}

export function addLoopback(ns: FakeState): void {
  const lo = make(ns, "lo", { kind: "" });
  lo.mac = new Uint8Array(6);
  lo.mtu = 65_536;
}

function make(ns: FakeState, name: string, type: FakeLink["type"], parent?: FakeLink): FakeLink {
  const noMac = type.kind === "tun" && type.mode === "tun";
  const link: FakeLink = {
    ns,
    type,
    name,
    index: ns.freeIndex(),
    mac: noMac ? undefined : newMac(),
    mtu: defaultMtu(type, parent),
    up: false,
    master: undefined,
    bridgePort: undefined,
    parent,
    peer: undefined,
  };
  ns.links.set(name, link);
  return link;
}

function defaultMtu(type: FakeLink["type"], parent: FakeLink | undefined): number {
  if (parent === undefined) return DEFAULT_MTU;
  // VXLAN_HEADROOM and VXLAN6_HEADROOM
  if (type.kind === "vxlan") return parent.mtu - (type.local?.family === 6 ? 70 : 50);
  return parent.mtu;
}

function checkName(name: string, op: string): void {
  if (name.length === 0 || Buffer.byteLength(name) > 15 || name === "." || name === ".." || /[\s/:]/.test(name)) {
    throw refusal(op, "EINVAL", `"${name}" is not a link name: 1 to 15 bytes without space, "/" and ":"`);
  }
}

function addLink(ns: FakeState, spec: NewLink): void {
  const { name, type } = spec;
  const op = ns.begin(`add link "${name}" (${type.kind})`);
  checkName(name, op);
  if (ns.links.has(name)) throw refusal(op, "EEXIST", "there is a link of that name");
  if (ns.options.missingKinds?.includes(type.kind) === true) throw refusal(op, "EOPNOTSUPP", "Unknown device type");
  const parent = parentOf(ns, type, op);
  checkType(ns, spec, op);
  const master = spec.master === undefined ? undefined : masterOf(ns, spec.master, op);
  const link = make(ns, name, type, parent);
  if (spec.mac !== undefined) link.mac = spec.mac;
  if (spec.mtu !== undefined) link.mtu = spec.mtu;
  if (type.kind === "veth") makePeer(link, type.peer);
  setMaster(link, master);
  ns.emit("link", "new", name);
  if (spec.up === true) setUp(link, true);
}

function parentOf(ns: FakeState, type: LinkKind, op: string): FakeLink | undefined {
  if (type.kind === "macvlan" || type.kind === "vlan") return ns.link(type.parent, op);
  if (type.kind === "vxlan" && type.device !== undefined) return ns.link(type.device, op);
  return undefined;
}

function checkType(ns: FakeState, { name, type }: NewLink, op: string): void {
  if (type.kind === "veth") {
    checkName(type.peer.name, op);
    const peerNs = type.peer.netns === undefined ? ns : stateOf(type.peer.netns);
    if (peerNs.links.has(type.peer.name) || (peerNs === ns && type.peer.name === name)) throw refusal(op, "EEXIST");
  }
  if (type.kind === "vxlan") {
    if (type.vni >= 1 << 24) throw refusal(op, "ERANGE", "VXLAN ID must be lower than 16777216");
    for (const { type: other } of ns.links.values()) {
      if (other.kind === "vxlan" && other.vni === type.vni && other.port === type.port) {
        throw refusal(op, "EEXIST", "A VXLAN device with the specified VNI already exists");
      }
    }
  }
}

function makePeer(link: FakeLink, spec: Extract<LinkKind, { kind: "veth" }>["peer"]): void {
  const ns = spec.netns === undefined ? link.ns : stateOf(spec.netns);
  const peer = make(ns, spec.name, { kind: "veth", peer: { name: link.name } });
  if (spec.mac !== undefined) peer.mac = spec.mac;
  if (spec.mtu !== undefined) peer.mtu = spec.mtu;
  peer.peer = link;
  link.peer = peer;
  ns.emit("link", "new", spec.name);
}

function masterOf(ns: FakeState, name: string, op: string): FakeLink {
  const master = ns.link(name, op);
  if (master.type.kind !== "bridge") throw refusal(op, "EOPNOTSUPP");
  return master;
}

function setMaster(link: FakeLink, master: FakeLink | undefined): void {
  link.master = master;
  link.bridgePort = master === undefined ? undefined : (link.bridgePort ?? PORT_DEFAULTS);
}

function setUp(link: FakeLink, up: boolean): void {
  if (link.up === up) return;
  const ns = link.ns;
  link.up = up;
  ns.emit("link", "new", link.name);
  if (!up) linkDown(link);
  else if (link.type.kind === "") loopbackUp(link);
}

function loopbackUp(link: FakeLink): void {
  for (const [text, bits] of [
    ["127.0.0.1", 8],
    ["::1", 128],
  ] as const) {
    link.ns.addrs.push({ link, prefix: { addr: parseAddr(text), bits }, noDad: false });
  }
}

/** Down: routes and neighbours go, and IPv6 addresses (addrconf_ifdown; keep_addr_on_down is 0). IPv4 addresses stay. */
function linkDown(link: FakeLink): void {
  const ns = link.ns;
  ns.routes = ns.routes.filter((route) => route.hops.length === 0 || route.hops.some((hop) => hop.link.up));
  ns.neighs = ns.neighs.filter((neigh) => neigh.link !== link);
  dropAddrs(link, (addr) => addr.prefix.addr.family === 6);
}

function dropAddrs(link: FakeLink, which: (addr: FakeAddr) => boolean): void {
  const ns = link.ns;
  const dropped = ns.addrs.filter((addr) => addr.link === link && which(addr));
  ns.addrs = ns.addrs.filter((addr) => !dropped.includes(addr));
  for (const _ of dropped) ns.emit("addr", "del", link.name);
}

/** Everything that lies on a link goes with it. */
function leave(link: FakeLink): void {
  const ns = link.ns;
  link.up = false;
  linkDown(link);
  dropAddrs(link, () => true);
  ns.routes = ns.routes.filter((route) => route.hops.every((hop) => hop.link !== link));
  ns.fdb = ns.fdb.filter((entry) => entry.link !== link);
  ns.links.delete(link.name);
  setMaster(link, undefined);
  for (const port of ns.links.values()) if (port.master === link) setMaster(port, undefined);
  for (const key of ns.sysctls.keys()) if (key.split("/")[3] === link.name) ns.sysctls.delete(key);
  ns.emit("link", "del", link.name);
}

function delLink(ns: FakeState, name: string): void {
  const op = ns.begin(`delete link "${name}"`);
  const link = ns.links.get(name);
  if (link === undefined) return;
  if (link.type.kind === "") throw refusal(op, "EOPNOTSUPP");
  leave(link);
  if (link.peer !== undefined) leave(link.peer);
  for (const child of ns.links.values()) if (child.parent === link) delLink(ns, child.name);
}

function changeLink(ns: FakeState, name: string, change: LinkChange): void {
  const op = ns.begin(`change link "${name}"`);
  const link = ns.link(name, op);
  checkChange(link, change, op);
  const master = change.master === undefined || change.master === null ? undefined : masterOf(ns, change.master, op);
  if (change.mac !== undefined) link.mac = change.mac;
  if (change.mtu !== undefined) link.mtu = change.mtu;
  if (change.master !== undefined) setMaster(link, master);
  if (change.netns !== undefined) move(link, stateOf(change.netns), change.name ?? name);
  else if (change.name !== undefined) rename(link, change.name);
  if (change.up !== undefined) setUp(link, change.up);
  else link.ns.emit("link", "new", link.name);
  if (change.bridgePort === undefined) return;
  if (link.bridgePort === undefined) throw refusal(`change bridge port "${link.name}"`, "EOPNOTSUPP");
  link.bridgePort = { ...link.bridgePort, ...change.bridgePort };
}

function checkChange(link: FakeLink, change: LinkChange, op: string): void {
  if (change.name !== undefined) checkName(change.name, op);
  const target = change.netns === undefined ? link.ns : stateOf(change.netns);
  const name = change.name ?? link.name;
  if ((name !== link.name || target !== link.ns) && target.links.has(name)) throw refusal(op, "EEXIST");
  if (target !== link.ns && (link.type.kind === "bridge" || link.type.kind === "")) {
    throw refusal(op, "EINVAL", "The interface netns is immutable");
  }
  if (change.mtu !== undefined && change.mtu < 68) throw refusal(op, "EINVAL", "mtu less than device minimum");
  if (change.mtu !== undefined && change.mtu > 65_535) throw refusal(op, "EINVAL", "mtu greater than device maximum");
  const mac = change.mac;
  // is_valid_ether_addr
  if (mac !== undefined && (((mac[0] ?? 0) & 1) !== 0 || mac.every((byte) => byte === 0))) throw refusal(op, "EADDRNOTAVAIL");
  if (typeof change.master === "string" && link.type.kind === "bridge") {
    throw refusal(op, "ELOOP", "Can not enslave a bridge to a bridge");
  }
}

function move(link: FakeLink, target: FakeState, name: string): void {
  if (target === link.ns) {
    rename(link, name);
    return;
  }
  leave(link);
  link.ns = target;
  link.name = name;
  link.index = target.freeIndex(link.index);
  target.links.set(name, link);
}

function rename(link: FakeLink, name: string): void {
  link.ns.links.delete(link.name);
  link.name = name;
  link.ns.links.set(name, link);
}

function operState(link: FakeLink): string {
  if (!link.up) return "down";
  switch (link.type.kind) {
    case "veth":
      return link.peer?.up === true ? "up" : "lowerlayerdown";
    case "bridge":
      return [...link.ns.links.values()].some((port) => port.master === link && operState(port) === "up") ? "up" : "down";
    case "macvlan":
    case "vlan":
      return link.parent?.up === true ? "up" : "lowerlayerdown";
    case "tun":
      return "down";
    default:
      return "unknown";
  }
}

function show(link: FakeLink): Link {
  const { type } = link;
  return {
    index: link.index,
    name: link.name,
    kind: type.kind,
    mac: link.mac,
    mtu: link.mtu,
    up: link.up,
    operState: operState(link),
    masterIndex: link.master?.index,
    peerIndex: link.peer?.index,
    parentIndex: link.parent?.index,
    ...(type.kind === "vxlan" && { vxlan: { vni: type.vni, port: type.port, local: type.local, learning: type.learning } }),
    ...(link.bridgePort && { bridgePort: link.bridgePort }),
    stats: { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 },
  };
}

export function fakeLinks(ns: FakeState): RouteSocket["links"] {
  return {
    list: () => [...ns.links.values()].sort((a, b) => a.index - b.index).map(show),
    get(name) {
      const link = ns.links.get(name);
      return link && show(link);
    },
    add: (link) => addLink(ns, link),
    change: (name, change) => changeLink(ns, name, change),
    del: (name) => delLink(ns, name),
  };
}
