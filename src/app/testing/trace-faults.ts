// What can be wrong on the way of a packet: how it is staged, what is asked, and the true cause that a trace must name. For tests.
import { POLICIES } from "./trace-policy-faults.ts";
import { commands, type Fault, listening, objects, toDb } from "./trace-staging.ts";
import { HTTP, pod, service, type TraceWorld } from "./trace-world.ts";

const ports = (port: object): { readonly ports: readonly object[] } => ({ ports: [{ name: "http", port: 80, targetPort: HTTP, ...port }] });
const db = { selector: { app: "db" } };
const toSvc = { from: "web", to: "svc/s" } as const;

const SERVICES: readonly Fault[] = [
  {
    name: "Service selector wrong",
    ...objects(service("s", { selector: { app: "dbb" }, ...ports({}) })),
    question: toSvc,
    cause: "selector matches nothing",
    says: /no pod of its namespace has app=dbb/,
  },
  { name: "no endpoints, no selector", ...objects(service("s", ports({}))), question: toSvc, cause: "no endpoints", says: /no selector/ },
  {
    name: "endpoints not ready",
    ...objects(service("s", { selector: { app: "lame" }, ...ports({}) })),
    question: toSvc,
    cause: "endpoints not ready",
    says: /lame is not ready/,
  },
  {
    name: "targetPort wrong",
    ...objects(service("s", { ...db, ...ports({ targetPort: 9090 }) })),
    question: toSvc,
    cause: "port closed",
    says: /targetPort 9090/,
  },
  {
    name: "named port mismatch",
    ...objects(service("s", { ...db, ...ports({ targetPort: "https" }) })),
    question: toSvc,
    cause: "named port mismatch",
    says: /port named "https"/,
  },
  {
    name: "named port of another protocol",
    ...objects(service("s", { ...db, ...ports({ targetPort: "http", protocol: "UDP" }) })),
    question: toSvc,
    cause: "named port mismatch",
    says: /"http"\/udp/,
  },
  {
    name: "no such port of the Service",
    question: { from: "web", to: "svc/db", port: "81" },
    cause: "no such service port",
    says: /has no port 81\/tcp; it has 80\/tcp/,
  },
  { name: "no such ClusterIP", question: { from: "web", to: "10.96.255.250:80" }, cause: "no such ClusterIP", says: /10\.96\.255\.250/ },
  {
    name: "externalTrafficPolicy Local, no endpoint on the node",
    ...objects(service("s", { type: "NodePort", externalTrafficPolicy: "Local", ...db, ...ports({ nodePort: 30081 }) })),
    question: { from: "outside", to: "node/node-1:30081" },
    cause: "no local endpoints",
    says: /they are on node-2/,
  },
  {
    name: "internalTrafficPolicy Local, no endpoint on the node",
    ...objects(service("s", { internalTrafficPolicy: "Local", ...db, ...ports({}) })),
    question: toSvc,
    cause: "no local endpoints",
    says: /internalTrafficPolicy Local/,
  },
  { name: "NodePort wrong", question: { from: "outside", to: "node/node-1:30999" }, cause: "no NodePort", says: /30999\/tcp/ },
  {
    name: "host port of another node",
    question: { from: "web", to: "node/node-2:8099" },
    cause: "no NodePort",
    says: /host ports on node-2/,
  },
  {
    name: "loadBalancerSourceRanges",
    stage: async (world) => {
      const lb = service("s", { type: "LoadBalancer", loadBalancerSourceRanges: ["192.0.2.0/24"], ...db, ...ports({}) });
      await world.apply(lb);
      await world.loadBalancerAt("s", "198.51.100.7");
    },
    undo: (world) => world.remove(service("s", ports({}))),
    question: { from: "web", to: "198.51.100.7:80" },
    cause: "source range",
    says: /192\.0\.2\.0\/24/,
  },
  {
    name: "DNS refused",
    stage: async (world) => {
      await world.apply(pod("asker", "node-1", { spec: { dnsPolicy: "None", dnsConfig: { nameservers: ["172.18.0.12"] } } }));
      await world.ready("default/asker");
    },
    undo: (world) => world.remove(pod("asker", "node-1")),
    question: { from: "asker", to: "db.default.svc.cluster.local.", port: "80" },
    cause: "dns refused",
    says: /nobody listens at 53\/udp/,
  },
  {
    name: "pod not started",
    ...objects(pod("stuck", "node-1", { spec: { containers: [{ name: "c", image: "nobody/has-this" }] } })),
    question: { from: "stuck", to: "pod/db", port: "80" },
    cause: "pod not running",
    says: /cannot ask|be asked/,
  },
];

const SOCKETS: readonly Fault[] = [
  {
    name: "process not listening",
    question: { from: "web", to: "pod/db", port: "9999" },
    cause: "port closed",
    says: /nobody listens at 9999\/tcp/,
  },
  {
    name: "datagram to a closed port",
    question: { from: "web", to: "pod/db", port: "9999/udp" },
    cause: "port closed",
    says: /nobody listens at 9999\/udp/,
  },
  {
    name: "process bound to localhost",
    ...listening("pod/db", `require("net").createServer().listen(9000, "127.0.0.1", () => console.log("ready"))`),
    question: { from: "web", to: "pod/db", port: "9000" },
    cause: "localhost only",
    says: /127\.0\.0\.1:9000\/tcp only/,
  },
  {
    name: "another protocol listens",
    ...listening("pod/db", `require("dgram").createSocket("udp4").bind(9001, () => console.log("ready"))`),
    question: { from: "web", to: "pod/db", port: "9001" },
    cause: "other protocol",
    says: /9001\/udp/,
  },
  {
    name: "another family listens",
    ...listening("pod/db", `require("net").createServer().listen(9002, "0.0.0.0", () => console.log("ready"))`),
    question: { from: "web", to: "pod/db", port: "9002", family: 6 },
    cause: "port closed",
    says: /0\.0\.0\.0:9002/,
  },
];

const nft = (table: string, rule: string): string =>
  `nft 'add table inet ${table}; add chain inet ${table} c { type filter hook forward priority 5; }; add rule inet ${table} c ${rule}'`;

/** As the overlay makes it of 172.18.0.12. */
const NODE2_MAC = "02:66:ac:12:00:0c";

/** The node's end of a pod's link. */
async function portOf(world: TraceWorld, name: string): Promise<string> {
  const [, index = ""] = /@if(\d+)/.exec(await world.run(`pod/${name}`, "ip", "-o", "link", "show", "eth0")) ?? [];
  const links = await world.run("node-2", "ip", "-o", "link");
  return new RegExp(`^${index}: (\\w+)@`, "m").exec(links)?.[1] ?? "";
}

const PATHS: readonly Fault[] = [
  {
    name: "foreign rule drops",
    ...commands("node-2", [nft("theirs", "ip daddr DB4 drop")], ["nft delete table inet theirs"]),
    question: toDb,
    cause: "foreign rule",
    says: /table inet theirs, chain c, on node-2/,
  },
  {
    name: "foreign rule rejects",
    ...commands("node-1", [nft("theirs", "ip daddr DB4 reject")], ["nft delete table inet theirs"]),
    question: toDb,
    cause: "foreign rule",
    says: /table inet theirs, chain c, on node-1/,
  },
  {
    name: "foreign chain whose policy is drop",
    ...commands(
      "node-2",
      ["nft 'add table ip theirs; add chain ip theirs c { type filter hook forward priority 5; policy drop; }'"],
      ["nft delete table ip theirs"],
    ),
    question: toDb,
    cause: "foreign rule",
    says: /table ip theirs, chain c, on node-2/,
  },
  {
    name: "foreign rule in the pod",
    ...commands(
      "pod/db",
      ["nft 'add table ip theirs; add chain ip theirs c { type filter hook input priority 0; }; add rule ip theirs c tcp dport 8080 drop'"],
      ["nft delete table ip theirs"],
    ),
    question: toDb,
    cause: "foreign rule",
    says: /chain c, on default\/db/,
  },
  {
    name: "foreign rule drops the answer",
    ...commands("node-2", [nft("theirs", "ip saddr DB4 tcp sport 8080 drop")], ["nft delete table inet theirs"]),
    question: toDb,
    cause: "foreign rule",
    says: /the answer is lost: .*table inet theirs/,
  },
  {
    name: "missing route",
    ...commands(
      "pod/web",
      ["ip route del default"],
      ["ip route add default via $(ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9]*[.][0-9]*[.][0-9]*\\)[.].*/\\1.1/') dev eth0 onlink"],
    ),
    question: toDb,
    cause: "no route",
    says: /default\/web has no route/,
  },
  {
    name: "route that says no",
    ...commands("node-1", ["ip route add unreachable DB4/32"], ["ip route del unreachable DB4/32"]),
    question: toDb,
    cause: "no route",
    says: /route unreachable/,
  },
  {
    name: "blackhole route",
    ...commands("node-1", ["ip route add blackhole DB4/32"], ["ip route del blackhole DB4/32"]),
    question: toDb,
    cause: "no route",
    says: /route blackhole/,
  },
  {
    name: "FDB entry removed",
    isHealed: true,
    ...commands(
      "node-1",
      [`bridge fdb del ${NODE2_MAC} dst 172.18.0.12 dev fairlead.vx || true`],
      [`bridge fdb replace ${NODE2_MAC} dst 172.18.0.12 dev fairlead.vx self permanent`],
    ),
    question: toDb,
    cause: "no FDB entry",
    says: /fairlead\.vx of node-1/,
  },
  {
    name: "neighbour removed",
    isHealed: true,
    ...commands(
      "node-1",
      ["ip neigh del 10.244.2.1 dev fairlead.vx || true"],
      [`ip neigh replace 10.244.2.1 lladdr ${NODE2_MAC} dev fairlead.vx nud permanent`],
    ),
    question: toDb,
    cause: "no neighbour",
    says: /nobody on link fairlead\.vx of node-1/,
  },
  { name: "an address that no pod has", question: { from: "web", to: "10.244.2.250:80" }, cause: "no neighbour", says: /10\.244\.2\.250/ },
  { name: "an address that leads nowhere", question: { from: "web", to: "192.0.2.77:80" }, cause: "no route", says: /192\.0\.2\.77/ },
  {
    name: "link down",
    stage: async (world) => void (await world.run("node-2", "ip", "link", "set", await portOf(world, "db"), "down")),
    undo: async (world) => void (await world.run("node-2", "ip", "link", "set", await portOf(world, "db"), "up")),
    question: toDb,
    cause: "link down",
    says: /veth\w+ is down|link veth/,
  },
  {
    name: "ip_forward off",
    ...commands("node-1", ["echo 0 > /proc/sys/net/ipv4/ip_forward"], ["echo 1 > /proc/sys/net/ipv4/ip_forward"]),
    question: toDb,
    cause: "not forwarding",
    says: /node-1 does not forward IPv4/,
  },
  {
    name: "rp_filter",
    ...commands(
      "node-2",
      ["echo 1 > /proc/sys/net/ipv4/conf/fairlead.vx/rp_filter; ip route add 10.244.1.0/28 dev eth0"],
      ["ip route del 10.244.1.0/28 dev eth0; echo 0 > /proc/sys/net/ipv4/conf/fairlead.vx/rp_filter"],
    ),
    question: toDb,
    cause: "rp_filter",
    says: /rp_filter is 1/,
  },
  {
    name: "MTU black hole",
    ...commands("node-2", ["ip link set eth0 mtu 1300"], ["ip link set eth0 mtu 1500"]),
    question: toDb,
    cause: "mtu",
    says: /MTU 1300/,
  },
];

const FILL: string = new URL(import.meta.resolve("../../io/linux/testing/fill-conntrack.ts")).pathname;

/** A pod's own table, so that the node goes on: only namespaces that ask for connections have one. */
const FULL: Fault = {
  name: "connection table full",
  stage: async (world) => {
    const chain = "add chain ip asks c { type filter hook input priority 0; }";
    await world.run("pod/db", "nft", `add table ip asks; ${chain}; add rule ip asks c ct state new accept`);
    await world.run("pod/db", process.execPath, FILL, "fill");
  },
  undo: async (world) => {
    await world.run("pod/db", process.execPath, FILL, "flush");
    await world.run("pod/db", "nft", "delete table ip asks");
  },
  question: toDb,
  cause: "conntrack full",
  says: /connection table of default\/db is full/,
};

export const FAULTS: readonly Fault[] = [...POLICIES, ...SERVICES, ...SOCKETS, ...PATHS, FULL];
