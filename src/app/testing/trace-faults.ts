// What can be wrong on the way of a packet: how it is staged, what is asked, and the true cause that a trace must name. For tests.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { KubeObject } from "#kube";
import type { CauseCode, RawQuestion } from "#trace";
import { HTTP, pod, policy, service, type TraceWorld } from "./trace-world.ts";

export interface Fault {
  readonly name: string;
  stage?(world: TraceWorld): Promise<void>;
  undo?(world: TraceWorld): Promise<void>;
  /** Agents may put right what is staged: it is staged again then. */
  readonly isHealed?: boolean;
  readonly question: Pick<RawQuestion, "from" | "to"> & Partial<RawQuestion>;
  readonly cause: CauseCode;
  /** What the sentence, a fact, a near miss or a fix says. */
  readonly says: RegExp;
}

type Staging = Pick<Fault, "stage" | "undo">;

function objects(...all: readonly KubeObject[]): Staging {
  return { stage: (world) => world.apply(...all), undo: (world) => world.remove(...all) };
}

/** Commands as one line each. */
function commands(where: string, on: readonly string[], off: readonly string[]): Staging {
  const all = async (world: TraceWorld, lines: readonly string[]): Promise<void> => {
    for (const line of lines) await world.run(where, "sh", "-c", line.replaceAll("DB4", world.addrs("default/db")[0] ?? ""));
  };
  return { stage: (world) => all(world, on), undo: (world) => all(world, off) };
}

/** A server in a pod's network, which is not the pod's own process. */
function listening(where: string, code: string): Staging {
  let child: ChildProcess | undefined;
  return {
    async stage(world) {
      const path = await world.path(where);
      child = world.cluster.spawnInside(path, process.execPath, "-e", `${code}; process.stdin.resume().on("end", () => process.exit())`);
      if (child.stdout !== null) await once(child.stdout, "data");
    },
    async undo() {
      if (child === undefined) return;
      const ended = once(child, "exit");
      child.stdin?.end();
      await ended;
    },
  };
}

const toDb = { from: "web", to: "pod/db", port: String(HTTP) } as const;
const web = { podSelector: { matchLabels: { app: "web" } } };
const at = (...ports: readonly object[]): { readonly ports: readonly object[] } => ({ ports });
const ingress = (...rules: readonly object[]): KubeObject => policy("db", { policyTypes: ["Ingress"], ingress: rules });
const egress = (...rules: readonly object[]): KubeObject => policy("web", { policyTypes: ["Egress"], egress: rules });

const POLICIES: readonly Fault[] = [
  {
    name: "ingress denied",
    ...objects(ingress()),
    question: toDb,
    cause: "policy default deny",
    says: /p-db isolates pod default\/db for ingress/,
  },
  {
    name: "egress denied",
    ...objects(egress()),
    question: toDb,
    cause: "policy default deny",
    says: /p-web isolates pod default\/web for egress/,
  },
  {
    name: "both denied",
    ...objects(ingress(), egress()),
    question: toDb,
    cause: "policy default deny",
    says: /ingress default\/db would refuse it, too/,
  },
  {
    name: "wrong label",
    ...objects(ingress({ from: [{ podSelector: { matchLabels: { app: "webb" } } }] })),
    question: toDb,
    cause: "policy default deny",
    says: /default\/web has app=web, not app=webb/,
  },
  {
    name: "wrong port",
    ...objects(ingress({ from: [web], ...at({ port: 8081 }) })),
    question: toDb,
    cause: "policy default deny",
    says: /8080\/TCP is not 8081\/TCP/,
  },
  {
    name: "wrong protocol",
    ...objects(ingress({ from: [web], ...at({ port: HTTP, protocol: "UDP" }) })),
    question: toDb,
    cause: "policy default deny",
    says: /8080\/TCP is not 8080\/UDP/,
  },
  {
    name: "the protocol asked is not the one allowed",
    ...objects(ingress({ from: [web], ...at({ port: HTTP }) })),
    question: { ...toDb, protocol: "udp" },
    cause: "policy default deny",
    says: /8080\/UDP is not 8080\/TCP/,
  },
  {
    name: "endPort too low",
    ...objects(ingress({ from: [web], ...at({ port: 8000, endPort: 8079 }) })),
    question: toDb,
    cause: "policy default deny",
    says: /8000-8079/,
  },
  {
    name: "named port of a policy that the pod has not",
    ...objects(ingress({ from: [web], ...at({ port: "https" }) })),
    question: toDb,
    cause: "policy default deny",
    says: /has no port named https/,
  },
  {
    name: "wrong namespace selector",
    ...objects(ingress({ from: [{ namespaceSelector: { matchLabels: { team: "shopp" } } }] })),
    question: { ...toDb, from: "shop/client" },
    cause: "policy default deny",
    says: /namespace shop has team=shop, not team=shopp/,
  },
  {
    name: "a pod selector without a namespace selector",
    ...objects(ingress({ from: [{ podSelector: { matchLabels: { app: "client" } } }] })),
    question: { ...toDb, from: "shop/client" },
    cause: "policy default deny",
    says: /shop\/client is not in namespace default/,
  },
  {
    name: "except block",
    ...objects(ingress({ from: [{ ipBlock: { cidr: "10.244.0.0/16", except: ["10.244.1.0/24"] } }] })),
    question: toDb,
    cause: "policy default deny",
    says: /10\.244\.1\.0\/24/,
  },
  {
    name: "only IPv4 allowed",
    ...objects(ingress({ from: [{ ipBlock: { cidr: "0.0.0.0/0" } }] })),
    question: { ...toDb, family: 6 },
    cause: "policy default deny",
    says: /0\.0\.0\.0\/0/,
  },
  {
    name: "echo under a rule with ports",
    ...objects(ingress({ from: [web], ...at({ port: HTTP }) })),
    question: { from: "web", to: "pod/db", protocol: "icmp" },
    cause: "policy default deny",
    says: /p-db isolates/,
  },
  {
    name: "behind a Service",
    ...objects(ingress()),
    question: { from: "web", to: "svc/db" },
    cause: "policy default deny",
    says: /p-db isolates/,
  },
  {
    name: "behind a NodePort, from outside",
    ...objects(
      ingress({ from: [web] }),
      service("np", { type: "NodePort", selector: { app: "db" }, ports: [{ port: 80, targetPort: HTTP, nodePort: 30080 }] }),
    ),
    question: { from: "outside", to: "node/node-1:30080" },
    cause: "policy default deny",
    says: /p-db isolates/,
  },
  {
    name: "DNS blocked",
    ...objects(egress({ to: [{ podSelector: {} }], ...at({ port: HTTP }) })),
    question: { from: "web", to: "db.default", port: "80" },
    cause: "dns blocked",
    says: /p-web isolates pod default\/web for egress/,
  },
  { name: "a name that there is not", question: { from: "web", to: "db.nowhere", port: "80" }, cause: "no such name", says: /NXDOMAIN/ },
];

const CLUSTER_POLICY = {
  apiVersion: "policy.networking.k8s.io/v1alpha2",
  kind: "ClusterNetworkPolicy",
  metadata: { name: "no-db" },
  spec: {
    tier: "Admin",
    priority: 10,
    subject: { namespaces: { matchLabels: { "kubernetes.io/metadata.name": "default" } } },
    ingress: [{ name: "none", action: "Deny", from: [{ namespaces: {} }] }],
  },
} as KubeObject;

const ports = (port: object): { readonly ports: readonly object[] } => ({ ports: [{ name: "http", port: 80, targetPort: HTTP, ...port }] });
const db = { selector: { app: "db" } };
const toSvc = { from: "web", to: "svc/s" } as const;

const SERVICES: readonly Fault[] = [
  { name: "ClusterNetworkPolicy denies", ...objects(CLUSTER_POLICY), question: toDb, cause: "policy", says: /ClusterNetworkPolicy no-db/ },
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
      ["ip route show default > /tmp/trace-route; ip route del default"],
      ["ip route add $(cat /tmp/trace-route) onlink; rm /tmp/trace-route"],
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

export const FAULTS: readonly Fault[] = [...POLICIES, ...SERVICES, ...SOCKETS, ...PATHS];
