// A small cluster for the tests of this room, and queries and replies as lines of text.
import type { Namespace, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { silentLogger, systemClock } from "#base";
import { formatAddr } from "#ip";
import { parseKey, type Stored } from "#kube";
import { DNS_TYPE, type DnsMessage, type DnsRecord, decodeDns, dnsMessage, dnsRcodeName, dnsTypeName, encodeDns } from "#wire";
import { AnswerCache } from "../cache.ts";
import { Forwarder } from "../forwarder.ts";
import { DnsHandler, type HandlerOptions } from "../handler.ts";
import { DnsMetrics } from "../metrics.ts";
import { REVERSE_ZONES } from "../names.ts";
import { ZoneIndex } from "../zone-index.ts";

let uid = 0;
/** What the API server adds to an object named `key`, namespace/name. */
function identity(key: string): Stored["metadata"] {
  uid++;
  const { namespace: ns, name } = parseKey(key);
  const stamp = { uid: `u${uid}`, resourceVersion: String(uid), creationTimestamp: "2025-01-01T00:00:00Z" };
  return { name, ...(ns === undefined ? {} : { namespace: ns }), ...stamp };
}

export function namespace(name: string): Stored<Namespace> {
  return { apiVersion: "v1", kind: "Namespace", metadata: identity(name) };
}

type Port = readonly [name: string, protocol: string, port: number];

function portsOf(ports: readonly Port[]): { name?: string; protocol: string; port: number }[] {
  return ports.map(([name, protocol, port]) => ({ ...(name === "" ? {} : { name }), protocol, port }));
}

/** `ips`: its ClusterIPs; ["None"] for headless. `key`: namespace/name. */
export function service(key: string, ips: string[], ports: readonly Port[] = []): Stored<Service> {
  const clusterIP = ips[0] === undefined ? {} : { clusterIP: ips[0] };
  const spec = { type: "ClusterIP", ...clusterIP, clusterIPs: ips, ports: portsOf(ports) };
  return { apiVersion: "v1", kind: "Service", metadata: identity(key), spec };
}

export function externalName(key: string, target: string): Stored<Service> {
  return { apiVersion: "v1", kind: "Service", metadata: identity(key), spec: { type: "ExternalName", externalName: target } };
}

/** `address`, `address=hostname`, and `!` before it for an unready one, `?` for one that does not say. */
export function slice(key: string, owner: string, endpoints: readonly string[], ports: readonly Port[] = []): Stored<EndpointSlice> {
  const parsed = endpoints.map((text) => {
    const [address = "", hostname] = text.replace(/^[!?]/, "").split("=");
    const conditions = text.startsWith("?") ? {} : { ready: !text.startsWith("!") };
    return { addresses: [address], conditions, ...(hostname === undefined ? {} : { hostname }) };
  });
  const addressType = parsed[0]?.addresses[0]?.includes(":") === true ? "IPv6" : "IPv4";
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...identity(key), labels: { "kubernetes.io/service-name": owner } },
    addressType,
    endpoints: parsed,
    ports: portsOf(ports),
  };
}

export function apply(index: ZoneIndex, objects: readonly Stored[]): void {
  for (const object of objects) {
    // The kind says which it is.
    if (object.kind === "Namespace") index.setNamespace(object as Stored<Namespace>);
    else if (object.kind === "Service") index.setService(object as Stored<Service>);
    else index.setSlice(object as Stored<EndpointSlice>);
  }
}

const HTTP: Port = ["http", "TCP", 80];
const PG: Port = ["pg", "TCP", 5432];

export const CLUSTER: readonly Stored[] = [
  ...["default", "kube-system", "shop", "quiet", "test-x"].map(namespace),
  service(
    "kube-system/kube-dns",
    ["10.96.0.10", "fd00:10:96::a"],
    [
      ["dns", "UDP", 53],
      ["dns-tcp", "TCP", 53],
    ],
  ),
  service("default/kubernetes", ["10.96.0.1"], [["https", "TCP", 443]]),
  slice("default/kubernetes", "kubernetes", ["172.18.0.1"], [["https", "TCP", 6443]]),
  service("shop/web", ["10.96.0.20", "fd00:10:96::20"], [HTTP, ["udp", "UDP", 80]]),
  slice("shop/web-1", "web", ["10.244.1.4", "10.244.2.4"], [HTTP]),
  service("shop/lonely", ["10.96.0.21"], [HTTP]),
  service("shop/single", ["10.96.0.22"], [["", "TCP", 8080]]),
  service("shop/1digit", ["10.96.0.23"], [HTTP]),
  service("shop/pending", [], [HTTP]),
  service("shop/db", ["None"], [PG]),
  slice("shop/db-a", "db", ["10.244.1.5=db-0", "10.244.2.5=db-1", "?10.244.3.5", "!10.244.3.6=db-3"], [PG]),
  slice("shop/db-b", "db", ["fd00:10:244:1::5=db-0"], [PG]),
  // The controller is moving db-1 from one slice to another.
  slice("shop/db-c", "db", ["10.244.2.5=db-1"], [PG]),
  service("shop/unready", ["None"], [HTTP]),
  slice("shop/unready-1", "unready", ["!10.244.1.6"], [HTTP]),
  service("shop/portless", ["None"]),
  slice("shop/portless-1", "portless", ["10.244.1.7"]),
  service("shop/dup", ["None"], [HTTP]),
  slice("shop/dup-4", "dup", ["10.244.1.10", "10.244.1.11", "10.244.1.12=same", "10.244.1.13=same"], [HTTP]),
  slice("shop/dup-6", "dup", ["fd00::1", "fd00::2"], [HTTP]),
  service("shop/six", ["None"], [HTTP]),
  slice("shop/six-1", "six", ["fd00::"], [HTTP]),
  slice("shop/orphan-1", "orphan", ["10.244.1.30"], [HTTP]),
  service("quiet/also", ["None"], [HTTP]),
  slice("quiet/also-1", "also", ["10.244.1.4=w"], [HTTP]),
  externalName("shop/ext", "www.example.com"),
  externalName("shop/ext-in", "Web.Shop.svc.Cluster.local."),
  externalName("shop/ext-gone", "gone.shop.svc.cluster.local"),
  externalName("shop/ext-ip", "192.0.2.7"),
  externalName("shop/self", "self.shop.svc.cluster.local"),
  externalName("shop/loop-a", "loop-b.shop.svc.cluster.local"),
  externalName("shop/loop-b", "loop-a.shop.svc.cluster.local"),
  externalName("shop/two", "ext-in.shop.svc.cluster.local"),
  ...Array.from({ length: 12 }, (_, i) => externalName(`shop/chain-${i}`, `chain-${i + 1}.shop.svc.cluster.local`)),
];

export function makeHandler(overrides: Partial<HandlerOptions> = {}): DnsHandler {
  const index = new ZoneIndex(1000);
  apply(index, CLUSTER);
  return new DnsHandler({
    zones: makeZones(index),
    hasSynced: () => true,
    forwarder: new Forwarder({ upstreams: [], clock: systemClock, logger: silentLogger }),
    cache: new AnswerCache({ maxTtlSeconds: 30, maxEntries: 100 }),
    metrics: new DnsMetrics(53),
    clock: systemClock,
    logger: silentLogger,
    ...overrides,
  });
}

export function makeZones(index: ZoneIndex): HandlerOptions["zones"] {
  const dnsService = { namespace: "kube-system", name: "kube-dns" };
  return {
    index,
    names: ["cluster.local", ...REVERSE_ZONES],
    options: { clusterDomain: "cluster.local", ttlSeconds: 5, pods: "insecure", dnsService },
  };
}

export function queryBytes(
  type: keyof typeof DNS_TYPE | number,
  name: string,
  parts: Partial<DnsMessage> & { readonly class?: number } = {},
): Buffer {
  const code = typeof type === "number" ? type : DNS_TYPE[type];
  const question = { name, type: code, class: parts.class ?? 1 };
  return Buffer.from(encodeDns(dnsMessage({ id: 4711, questions: [question], ...parts })));
}

/** `A 10.96.0.20`, with the owner in front where it is not the question's name, and the TTL where it is not 5. */
function recordText(record: DnsRecord, asked?: string): string {
  const owner = record.name === asked ? "" : `${record.name} `;
  const ttl = record.ttlSeconds === 5 ? "" : `${record.ttlSeconds} `;
  return `${owner}${ttl}${dataText(record)}`;
}

function dataText(record: DnsRecord): string {
  switch (record.type) {
    case "A":
    case "AAAA":
      return `${record.type} ${formatAddr(record.address)}`;
    case "CNAME":
    case "NS":
    case "PTR":
      return `${record.type} ${record.target}`;
    case "SRV":
      return `SRV ${record.priority} ${record.weight} ${record.port} ${record.target}`;
    case "TXT":
      return `TXT ${record.strings.map((s) => JSON.stringify(new TextDecoder().decode(s))).join(" ")}`;
    case "SOA":
      return `SOA ${record.primary} ${record.mailbox} ${record.refreshSeconds} ${record.retrySeconds} ${record.expireSeconds} ${record.minimumSeconds}`;
    case "other":
      return dnsTypeName(record.code);
  }
}

/** A reply as lines: the rcode and flags, then the records, `~` before those of the authority and `+` before additional ones. */
export function replyText(bytes: Uint8Array): string[] {
  const reply = decodeDns(bytes);
  const asked = reply.questions[0]?.name ?? "";
  const flags = [reply.authoritative ? " aa" : "", reply.truncated ? " tc" : "", reply.recursionAvailable ? " ra" : ""].join("");
  return [
    `${dnsRcodeName(reply.rcode)}${flags}`,
    ...reply.answers.map((record) => recordText(record, asked)),
    ...reply.authorities.map((record) => `~${recordText(record)}`),
    ...reply.additionals.map((record) => `+${recordText(record)}`),
  ];
}
