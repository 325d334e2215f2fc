// What two states of one cluster differ in, as text: the shadow, and what kernels tell. What cannot be known from objects is left out, and named here:
//
// - links: the MACs that nobody writes; a pod's link on its node has a name after the runtime's id of its sandbox, and is named by its pod here;
// - addresses and routes that kernels make by themselves: link-local ones, those of subnets, local and broadcast, multicast;
// - neighbours that have been asked for; forwarding entries that have been learnt, of a link's own MAC, and of multicast;
// - tables: which number a backend has, and chains and maps of the Services that were made for what is no more; comments of host ports, which
//   have the sandbox's id; elements that packets have made.
import { formatAddr, formatMac, formatPrefix, parsePrefix, prefixContains } from "#ip";
import type * as model from "#model";
import { type Element, formatChain, formatData, formatKey, formatSetHeader, headerOf, type NftSet, type Table } from "#nft";

/** Lines, each beginning with the namespace: `-` only in the shadow, `+` only in the kernel. */
export function differences(shadow: model.NetworkState, kernel: model.NetworkState): string[] {
  const others = new Map(kernel.namespaces.map((one) => [one.name, one]));
  const unknown = kernel.namespaces.filter(({ name }) => !shadow.namespaces.some((one) => one.name === name));
  return [
    ...shadow.namespaces.flatMap((one) => {
      const other = others.get(one.name);
      return other === undefined ? [`- ${one.name}`] : differencesOf(one, other);
    }),
    ...unknown.map(({ name }) => `+ ${name}`),
  ];
}

function differencesOf(shadow: model.Namespace, kernel: model.Namespace): string[] {
  const [own, other] = [textOf(shadow), textOf(kernel)];
  return [...own.difference(other)]
    .map((line) => `- ${shadow.name}: ${line}`)
    .concat([...other.difference(own)].map((line) => `+ ${shadow.name}: ${line}`))
    .concat(sysctlDifferences(shadow, kernel), listenerDifferences(shadow, kernel));
}

type Names = ReadonlyMap<string, string>;

/** A link that leads to a pod is named by the pod. */
function namesOf({ links }: model.Namespace): Names {
  return new Map(
    links.map(({ name, type }) => [name, type.kind === "veth" && type.peer.namespace.includes("/") ? `to ${type.peer.namespace}` : name]),
  );
}

/** Those of a new namespace. */
const DEFAULT_RULES: readonly model.RoutingRule[] = [
  { family: 4, priority: 0, table: 255 },
  { family: 4, priority: 32_766, table: 254 },
  { family: 4, priority: 32_767, table: 253 },
  { family: 6, priority: 0, table: 255 },
  { family: 6, priority: 32_766, table: 254 },
];

function textOf(namespace: model.Namespace): Set<string> {
  const names = namesOf(namespace);
  const { links, addrs, routes, rules, neighs = [], fdb = [], tables = [] } = namespace;
  const ownMacs = new Set(links.flatMap(({ mac }) => (mac === undefined ? [] : [formatMac(mac)])));
  return new Set([
    ...links.map((link) => textOfLink(link, names)),
    ...addrs.filter(isGiven).map(({ link, prefix }) => `addr ${formatPrefix(prefix)} dev ${names.get(link)}`),
    ...routes.filter(isWritten(namespace)).map((route) => textOfRoute(route)),
    ...(rules ?? DEFAULT_RULES).map(
      ({ family, priority, table, iif }) => `rule ${family} ${priority} table ${table}${iif === undefined ? "" : ` iif ${iif}`}`,
    ),
    ...neighs
      .filter(({ state }) => state === "permanent")
      .map(({ link, addr, mac }) => `neigh ${formatAddr(addr)} dev ${names.get(link)} ${mac && formatMac(mac)}`),
    ...fdb.filter((entry) => isPodsOrPeers(entry, ownMacs)).map((entry) => textOfFdb(entry, names)),
    ...tables.flatMap(textOfTable),
  ]);
}

function textOfLink({ name, type, mtu, up, master, port }: model.Link, names: Names): string {
  const isolated = port?.isolated === true ? " isolated" : "";
  const learning = port?.learning === false ? " learning off" : "";
  const kind = type.kind === "vxlan" ? `vxlan ${type.vni} port ${type.port} local ${type.local && formatAddr(type.local)}` : type.kind;
  return `link ${names.get(name)} ${kind} mtu ${mtu ?? (type.kind === "loopback" ? 65_536 : 1500)} ${up ? "up" : "down"} master ${master}${isolated}${learning}`;
}

const LINK_LOCAL = parsePrefix("fe80::/10");

function isGiven({ link, prefix }: model.LinkAddr): boolean {
  return link !== "lo" && !prefixContains(LINK_LOCAL, prefix.addr);
}

const TABLE_LOCAL = 255;
const MULTICAST = parsePrefix("ff00::/8");

/** Not those that the kernel makes of an address. */
function isWritten({ addrs }: model.Namespace): (route: model.Route) => boolean {
  const inSubnet = (route: model.Route): boolean =>
    addrs.some(({ prefix }) => prefix.bits === route.dst.bits && prefixContains(prefix, route.dst.addr)) &&
    route.nextHops.every(({ via }) => via === undefined);
  return (route) =>
    (route.table ?? 254) !== TABLE_LOCAL &&
    route.type !== "local" &&
    route.type !== "broadcast" &&
    !prefixContains(LINK_LOCAL, route.dst.addr) &&
    !prefixContains(MULTICAST, route.dst.addr) &&
    !inSubnet(route);
}

function textOfRoute({ dst, type = "unicast", nextHops, table = 254 }: model.Route): string {
  const hops = nextHops.map(({ via, link }) => `${via === undefined ? "" : ` via ${formatAddr(via)}`} dev ${link}`).join();
  // A route that leads nowhere has loopback as its link, over IPv6.
  return `route ${type} ${formatPrefix(dst)}${type === "unicast" ? hops : ""} table ${table}`;
}

function isPodsOrPeers({ mac, dst, permanent }: model.Fdb, ownMacs: ReadonlySet<string>): boolean {
  const isMulticast = ((mac[0] ?? 0) & 1) === 1;
  const isNobody = mac.every((byte) => byte === 0);
  return permanent !== false && !isMulticast && !isNobody && (dst !== undefined || !ownMacs.has(formatMac(mac)));
}

function textOfFdb({ link, mac, dst }: model.Fdb, names: Names): string {
  return `fdb ${formatMac(mac)} dev ${names.get(link)}${dst === undefined ? "" : ` dst ${formatAddr(dst)}`}`;
}

/** Made when a Service first needs them, and kept. */
const ON_DEMAND_CHAIN = /^(guarded-)?(inside-)?(pick|stick|remember)[46]-/;
const ON_DEMAND_SET = /^((inside-)?spread[46]|source-ranges[46]|affinity[46]-\d+)$/;

function textOfTable(table: Table): string[] {
  const head = `table ${table.family} ${table.name}`;
  const isOfServices = table.name === "fairlead-proxy";
  const chains = table.chains.filter(({ name, rules }) => rules.length > 0 && !(isOfServices && ON_DEMAND_CHAIN.test(name)));
  const sets = table.sets.filter(({ name }) => !(isOfServices && ON_DEMAND_SET.test(name)));
  return [
    head,
    ...chains.flatMap((chain) =>
      formatChain(chain)
        .split("\n")
        .map((line, i) => `${head} chain ${chain.name} ${i} ${line.trim()}`),
    ),
    ...sets.map((set) => `${head} set ${formatSetHeader(headerOf(set))}`),
    ...sets.flatMap((set) => textOfElements(set, table).map((text) => `${head} ${set.name} { ${text} }`)),
  ];
}

function textOfElements(set: NftSet, { name }: Table): string[] {
  if (set.flags?.includes("dynamic") === true) return [];
  const isNumbered = name === "fairlead-proxy" && /^endpoints[46]$/.test(set.name);
  const text = ({ key, data, comment }: Element): string => {
    const parts = isNumbered
      ? { header: { ...headerOf(set), key: set.key.slice(0, -1) }, key: key.slice(0, -1) }
      : { header: headerOf(set), key };
    const tail = name === "fairlead-portmap" || comment === undefined ? "" : ` comment ${comment}`;
    return `${formatKey(parts.header, { key: parts.key })}${data === undefined ? "" : ` : ${formatData(set, data)}`}${tail}`;
  };
  return set.elements.map(text);
}

/** Of those that both know. */
function sysctlDifferences({ name, sysctls = {} }: model.Namespace, kernel: model.Namespace): string[] {
  return Object.entries(sysctls).flatMap(([sysctl, value]) => {
    const other = kernel.sysctls?.[sysctl];
    return other === undefined || other === value ? [] : [`- ${name}: sysctl ${sysctl} ${value}, not ${other}`];
  });
}

/** What is to listen does; others may, too. */
function listenerDifferences({ name, listeners = [] }: model.Namespace, kernel: model.Namespace): string[] {
  return listeners.flatMap(({ protocol, port }) =>
    kernel.listeners?.some((one) => one.protocol === protocol && one.port === port) === true
      ? []
      : [`- ${name}: listener ${protocol} ${port}`],
  );
}
