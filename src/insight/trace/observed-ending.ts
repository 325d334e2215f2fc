// How a real packet ended, from what was seen: the rule that dropped it, the error that came back, or the last place where it was. Pure.
import { type Addr, addrEquals, type Family, prefixContains, tryParseAddr } from "#ip";
import type * as model from "#model";
import type { Statement } from "#nft";
import type { ProbeResult } from "#observe";
import type { Packet } from "#wire";
import type { FlowStep } from "./correlate.ts";
import { endingOf } from "./ending.ts";
import type { Culprit, Ending, FlowPacket, Predicted, Scene, SeenPoint } from "./types.ts";

export interface Seen {
  readonly probe: ProbeResult;
  readonly points: readonly SeenPoint[];
  readonly steps: readonly FlowStep[];
}

/** Undefined: it was answered, or came where it was going and nobody need answer. */
export function observedEnding(scene: Scene, seen: Seen, predicted: Predicted): Ending | undefined {
  const { probe } = seen;
  if (probe.outcome === "answered") return undefined;
  const said = probe.outcome === "refused" ? "refused" : "silence";
  const dropped = seen.steps.find(({ sighting }) => sighting.verdict === "drop");
  if (dropped !== undefined) return byStep(scene, dropped, seen, said);
  if (probe.connected === true) return { ...lostLarge(scene, seen, predicted), said };
  if (probe.icmp !== undefined) return byIcmp(scene, probe.icmp, said);
  if (probe.outcome === "refused") return byReset(scene, seen);
  if (probe.outcome === "error") return ofOwnKernel(scene, probe);
  return lost(scene, seen, predicted);
}

function askedPacket({ ask }: Scene): FlowPacket {
  const { dst, dstPort, protocol } = ask;
  const numbers = { tcp: 6, udp: 17, sctp: 132, icmp: dst.family === 4 ? 1 : 58 };
  return { src: dst, dst, protocol: numbers[protocol], length: 0, ...(dstPort !== undefined && { dstPort }) };
}

function ofWire(packet: Packet | undefined, scene: Scene): FlowPacket {
  if (packet === undefined) return askedPacket(scene);
  const { ip, tcp, udp, payload } = packet;
  const sctp = ip.protocol === 132 && payload.length >= 4 ? (payload[2] ?? 0) * 256 + (payload[3] ?? 0) : undefined;
  const dstPort = tcp?.dstPort ?? udp?.dstPort ?? sctp;
  return { src: ip.src, dst: ip.dst, protocol: ip.protocol, length: ip.length, ...(dstPort !== undefined && { dstPort }) };
}

function byStep(scene: Scene, { sighting, direction, packet }: FlowStep, { steps }: Seen, said: Ending["said"]): Ending {
  const { namespace, family, table, chain, comment, handle, rule, step } = sighting;
  const id = `${family} ${table}`;
  const before = steps.filter(
    (one) =>
      one.sighting.namespace === namespace &&
      one.sighting.traceId === sighting.traceId &&
      `${one.sighting.family} ${one.sighting.table}` === id,
  );
  const led = before.toReversed().flatMap((one) => one.sighting.comment ?? []);
  const what = step === "policy" ? "its policy is drop" : (rule ?? `rule with handle ${handle ?? "?"}`);
  const by: Culprit = {
    table: id,
    chain,
    led,
    // A rule's text has its comment.
    text: `${id} ${chain}: ${what}${comment === undefined || rule !== undefined ? "" : ` "${comment}"`}`,
    ...(comment !== undefined && { comment }),
  };
  const link = sighting.linkOut ?? sighting.linkIn;
  return { direction, namespace, why: "rule", said, by, packet: ofWire(packet, scene), ...(link !== undefined && { link }) };
}

type IcmpSeen = NonNullable<ProbeResult["icmp"]>;

/** RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3. */
function reasonOf({ type, code, from }: IcmpSeen): model.DropReason {
  if (from.family === 6) {
    if (type === 2) return "mtu";
    if (type === 3) return "ttl";
    return (["no route", "rule", "no route", "no neighbour", "port closed"] as const)[code] ?? "rule";
  }
  if (type === 11) return "ttl";
  if (code === 4) return "mtu";
  if (code === 1) return "no neighbour";
  if (code === 2 || code === 3) return "port closed";
  return code === 0 ? "no route" : "rule";
}

function byIcmp(scene: Scene, icmp: IcmpSeen, said: Ending["said"]): Ending {
  const namespace = ownerOf(scene, icmp.from) ?? scene.ask.from.namespace;
  const link = overlayLink(scene, namespace);
  const packet = askedPacket(scene);
  // Routes that say no have these words, too (`unreachable`, `prohibit`; fib_props of net/ipv4/fib_semantics.c).
  const why = saysNo(scene, namespace, deliveredTo(scene) ?? packet.dst) ? "no route" : reasonOf(icmp);
  return { direction: "request", namespace, why, said, packet, ...(link !== undefined && { link }) };
}

/** Whether the route that counts for `dst` is one that says so. */
function saysNo({ state }: Scene, namespace: string, dst: Addr): boolean {
  const routes = state.namespaces.find(({ name }) => name === namespace)?.routes ?? [];
  const covering = routes.filter((route) => route.dst.addr.family === dst.family && prefixContains(route.dst, dst));
  const [best] = covering.toSorted((a, b) => b.dst.bits - a.dst.bits || (a.metric ?? 0) - (b.metric ?? 0));
  return best?.type === "unreachable" || best?.type === "prohibit" || best?.type === "blackhole";
}

/** A Service's only endpoint. */
function deliveredTo({ service, ask }: Scene): Addr | undefined {
  if (ask.to.kind !== "service" || service?.backends.length !== 1) return undefined;
  return tryParseAddr(/^\[?(.*?)\]?:\d+$/.exec(service.backends[0]?.id ?? "")?.[1] ?? "");
}

function overlayLink({ state }: Scene, namespace: string): string | undefined {
  return state.namespaces.find(({ name }) => name === namespace)?.links.find(({ type }) => type.kind === "vxlan")?.name;
}

function ownerOf({ state }: Scene, addr: Ending["packet"]["dst"]): string | undefined {
  return state.namespaces.find(({ addrs }) => addrs.some(({ prefix }) => addrEquals(prefix.addr, addr)))?.name;
}

/** A reset comes from where the answer was first seen. */
function byReset(scene: Scene, { points }: Seen): Ending {
  const lastRequest = points.findLast(({ direction }) => direction === "request");
  const namespace = points.find(({ direction }) => direction === "reply")?.namespace ?? lastRequest?.namespace ?? scene.ask.from.namespace;
  const target = lastRequest?.way === "in" ? lastRequest.namespace : namespace;
  return { direction: "request", namespace: target, why: "port closed", said: "refused", packet: deliveredPacket(scene, target) };
}

/** The packet as whoever has the namespace got it: with the endpoint's address and port. */
function deliveredPacket(scene: Scene, namespace: string): FlowPacket {
  const asked = askedPacket(scene);
  const { to } = scene.ask;
  const own = scene.state.namespaces.find(({ name }) => name === namespace);
  const addr = own?.addrs.find(({ prefix, link }) => link !== "lo" && prefix.addr.family === asked.dst.family)?.prefix.addr;
  const target = to.kind === "service" ? targetPortOf(scene, namespace) : undefined;
  return { ...asked, ...(addr !== undefined && to.kind === "service" && { dst: addr }), ...(target !== undefined && { dstPort: target }) };
}

function targetPortOf({ service, objects }: Scene, namespace: string): number | undefined {
  const pod = objects.pods.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === namespace);
  const ids = (pod?.status?.podIPs ?? []).map(({ ip }) => ip ?? "");
  const backend = service?.backends.find(({ id }) => ids.some((ip) => id.startsWith(ip.includes(":") ? `[${ip}]:` : `${ip}:`)));
  return backend === undefined ? undefined : Number(/\d+$/.exec(backend.id)?.[0]);
}

/** Whether the asker's kernel cannot send such a packet at all, wherever to. */
export function isUnable({ outcome, errno = "" }: ProbeResult): boolean {
  return outcome === "error" && BY_ERRNO[errno] === undefined;
}

const BY_ERRNO: Readonly<Record<string, model.DropReason>> = {
  ENETUNREACH: "no route",
  EHOSTUNREACH: "no neighbour",
  EMSGSIZE: "mtu",
  EPERM: "rule",
  EACCES: "rule",
  ENETDOWN: "link down",
  ECONNREFUSED: "port closed",
  EINVAL: "no route",
  EADDRNOTAVAIL: "no route",
};

function ofOwnKernel(scene: Scene, { errno = "" }: ProbeResult): Ending {
  const { namespace } = scene.ask.from;
  const why = BY_ERRNO[errno] ?? "not modelled";
  const link = scene.state.namespaces.find(({ name }) => name === namespace)?.links.find(({ name }) => name !== "lo")?.name;
  return { direction: "request", namespace, why, said: "silence", packet: askedPacket(scene), ...(link !== undefined && { link }) };
}

/** The namespace in which it must have been lost: where it came in last, or behind the link by which it left. */
function lost(scene: Scene, { points }: Seen, predicted: Predicted): Ending | undefined {
  const hasReply = points.some(({ direction }) => direction === "reply");
  const direction = hasReply ? "reply" : "request";
  const last = points.findLast((point) => point.direction === direction);
  if (last === undefined) return lostAt(scene, predicted, { direction, places: [scene.ask.from.namespace] });
  const behind = last.way === "out" ? peerOf(scene, last) : undefined;
  const isThere = direction === "request" && last.way === "in" && isTarget(scene, predicted, last.namespace);
  if (isThere && scene.ask.protocol === "udp") return undefined;
  return lostAt(scene, predicted, { direction, places: [last.namespace, ...(behind === undefined ? [] : [behind])], last });
}

function peerOf({ state }: Scene, { namespace, link }: SeenPoint): string | undefined {
  const found = state.namespaces.find(({ name }) => name === namespace)?.links.find(({ name }) => name === link);
  return found?.type.kind === "veth" ? found.type.peer.namespace : undefined;
}

export function isTarget(scene: Scene, predicted: Predicted, namespace: string): boolean {
  return predicted.ways.some(({ roundTrip: { request } }) => request.end.namespace === namespace) && namespace !== scene.ask.from.namespace;
}

interface LostAt {
  readonly direction: Ending["direction"];
  readonly places: readonly string[];
  readonly last?: SeenPoint;
}

/** What the kernel's state says of that place; the model knows most of it already. */
function lostAt(scene: Scene, predicted: Predicted, { direction, places, last }: LostAt): Ending {
  const foreseen = predicted.ways.flatMap(({ roundTrip }) => endingOf(roundTrip) ?? []);
  const same = foreseen.find((one) => one.direction === direction && places.includes(one.namespace) && one.why !== "rule");
  const namespace = places.at(-1) ?? scene.ask.from.namespace;
  if (same !== undefined) return { ...same, said: "silence" };
  const why = places.map((place) => stateReason(scene, place)).find((reason) => reason !== undefined) ?? "not modelled";
  const hidden = why === "not modelled" ? places.flatMap((place) => hiddenDrop(scene, place) ?? [])[0] : undefined;
  if (hidden !== undefined) return { direction, ...hidden, why: "rule", said: "silence", packet: askedPacket(scene) };
  return { direction, namespace, why, said: "silence", packet: askedPacket(scene), ...(last !== undefined && { link: last.link }) };
}

/** Hooks that neither the model walks nor traces show. */
const HIDDEN: ReadonlySet<string> = new Set(["netdev", "bridge", "arp"]);

function hiddenDrop({ state }: Scene, namespace: string): Pick<Ending, "namespace" | "by"> | undefined {
  const tables = state.namespaces.find(({ name }) => name === namespace)?.tables ?? [];
  for (const { family, name, chains } of tables.filter((table) => HIDDEN.has(table.family))) {
    const found = chains.find(({ base, rules }) => base?.policy === "drop" || rules.some((rule) => rule.statements.some(isDrop)));
    if (found === undefined) continue;
    const at = found.base?.device === undefined ? "" : ` at ${found.base.device}`;
    const text = `${family} ${name} ${found.name} can drop${at}, before any hook that is traced`;
    return { namespace, by: { table: `${family} ${name}`, chain: found.name, led: [], text } };
  }
  return undefined;
}

function isDrop(statement: Statement): boolean {
  return statement.kind === "verdict" && statement.verdict.kind === "drop";
}

/** What lets a node forward (ip_forward, and `forwarding` of Documentation/networking/ip-sysctl.rst). */
const FORWARDING: Readonly<Record<Family, string>> = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" };

function stateReason({ state, reports, ask }: Scene, place: string): model.DropReason | undefined {
  const observed = reports.flatMap(({ namespaces }) => namespaces).findLast((one) => one.state.name === place);
  const { count = 0, max = 0 } = observed?.conntrack ?? {};
  if (max > 0 && count >= max) return "conntrack full";
  const own = state.namespaces.find(({ name }) => name === place);
  if (observed?.role === "node" && own?.sysctls?.[FORWARDING[ask.dst.family]] === 0) return "not forwarding";
  if (own?.links.some(({ up, name }) => !up && name !== "lo") === true) return "link down";
  return undefined;
}

/** The connection stands, and full-size packets of it do not arrive. */
function lostLarge(scene: Scene, { points }: Seen, { large }: Predicted): Ending {
  const foreseen = large && endingOf(large.roundTrip);
  if (foreseen !== undefined) return foreseen;
  const last = points.findLast(({ direction }) => direction === "request");
  const namespace = last?.namespace ?? scene.ask.from.namespace;
  return {
    direction: "request",
    namespace,
    why: "mtu",
    said: "silence",
    packet: askedPacket(scene),
    ...(last !== undefined && { link: last.link }),
  };
}
