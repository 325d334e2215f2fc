// A frame in a bridge. Mirrors br_handle_frame_finish (net/bridge/br_input.c), should_deliver (br_forward.c) and br_skb_isolated
// (br_private.h). What the bridge would learn or flood comes to the same: the port behind which a MAC is.
import type { Mac } from "#ip";
import { type Host, type HostLink, macKey } from "./host.ts";
import { receive } from "./receive.ts";
import { dropped, type Ended, type Network, sizeOf } from "./run.ts";
import { type Frame, transmit } from "./transmit.ts";

/** `from`: the port that it came in by; undefined: it comes from the bridge itself. */
export function bridgeFrame(frame: Frame, from: string | undefined): Ended {
  const { run, host, skb, dstMac, srcMac } = frame;
  const port = from === undefined ? undefined : host.links.get(from);
  const bridge = host.links.get(port?.master ?? frame.link);
  if (bridge === undefined || !bridge.up) return dropped(host, skb, "link down");
  if (port !== undefined && isOwn(host, bridge, dstMac)) {
    // What is the bridge's own by an entry only is not the IP layer's: its MAC is another one (PACKET_OTHERHOST).
    if (!host.bridgeMacs(bridge).has(macKey(dstMac))) return dropped(host, skb, "other host");
    skb.srcMac = srcMac;
    skb.dstMac = dstMac;
    return receive(run, host, bridge.name, skb);
  }
  const to = portTo(run.network, host, bridge, dstMac);
  if (to === undefined || to === from || !mayPass(host, port, to)) return dropped(host, skb, "no such mac");
  const out = host.links.get(to);
  if (out !== undefined && sizeOf(skb) > out.mtu) return dropped(host, skb, "mtu");
  const hop = frame.hop !== undefined && from === undefined ? frame.hop : run.openHop(host, from, skb.packet);
  if (from !== undefined) hop.linkOut = to;
  run.decide(hop, () => ({ kind: "bridge", bridge: bridge.name, from, to }));
  return transmit({ ...frame, link: to, hop });
}

function isOwn(host: Host, bridge: HostLink, mac: Mac): boolean {
  const entry = host.fdb(bridge.name, mac);
  return host.bridgeMacs(bridge).has(macKey(mac)) || (entry !== undefined && entry.permanent !== false);
}

function portsOf(host: Host, bridge: HostLink): readonly HostLink[] {
  return host.ports.get(bridge.name) ?? [];
}

function mayPass(host: Host, from: HostLink | undefined, to: string): boolean {
  return from?.port?.isolated !== true || host.links.get(to)?.port?.isolated !== true;
}

/** By an entry, else behind which port the MAC is. */
function portTo(network: Network, host: Host, bridge: HostLink, mac: Mac): string | undefined {
  const entry = host.fdb(bridge.name, mac);
  if (entry !== undefined && entry.link !== bridge.name) return entry.link;
  const key = macKey(mac);
  const id = `${host.name} ${bridge.name} ${key}`;
  const known = network.portOfMac.get(id);
  if (known !== undefined) return known ?? undefined;
  const found = portsOf(host, bridge).find((port) => isBehind(network, port, key, new Set([host.name + bridge.name])))?.name;
  network.portOfMac.set(id, found ?? null);
  return found;
}

function isBehind(network: Network, port: HostLink, mac: number, seen: Set<string>): boolean {
  if (!port.up || port.type.kind !== "veth") return false;
  const host = network.hosts.get(port.type.peer.namespace);
  const link = host?.links.get(port.type.peer.link);
  if (host === undefined || link === undefined || !link.up) return false;
  if (link.master === undefined) return link.macKey === mac;
  const bridge = host.links.get(link.master);
  if (bridge === undefined || seen.has(host.name + bridge.name)) return false;
  seen.add(host.name + bridge.name);
  if (bridge.macKey === mac) return true;
  return portsOf(host, bridge).some((other) => other !== link && isBehind(network, other, mac, seen));
}

export interface Station {
  readonly host: Host;
  readonly link: HostLink;
}

/** Who hears a broadcast that leaves by `link`: links with an IP layer of their own. */
export function hearers(network: Network, host: Host, link: HostLink, seen: Set<string> = new Set()): Station[] {
  if (!link.up || seen.has(`${host.name} ${link.name}`)) return [];
  seen.add(`${host.name} ${link.name}`);
  if (link.type.kind === "bridge") return portsOf(host, link).flatMap((port) => hearers(network, host, port, seen));
  if (link.type.kind !== "veth") return [];
  const other = network.hosts.get(link.type.peer.namespace);
  const peer = other?.links.get(link.type.peer.link);
  if (other === undefined || peer === undefined || !peer.up) return [];
  const bridge = peer.master === undefined ? undefined : other.links.get(peer.master);
  if (bridge === undefined) return [{ host: other, link: peer }];
  if (seen.has(`${other.name} ${bridge.name}`)) return [];
  seen.add(`${other.name} ${bridge.name}`);
  const others = portsOf(other, bridge).filter((port) => port !== peer && mayPass(other, peer, port.name));
  return [{ host: other, link: bridge }, ...others.flatMap((port) => hearers(network, other, port, seen))];
}
