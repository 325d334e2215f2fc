// The scenario of real-node.e2e.ts: run by it as the first process of its own namespaces. Fails by throwing.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { get } from "node:http";
import { createServer, type Server } from "node:net";
import { stringify } from "yaml";
import { errorMessage, systemClock } from "#base";
import { parseAddr, parsePrefix } from "#ip";
import { NODES } from "#kube";
import { connectSocket, listenFd, type NetNs, openRoute } from "#linux";
import { checkMode, PROXY_MODES, type ProxyMode } from "#proxy";
import { base64, kubeconfig } from "../../cli/pki.ts";
import { startTestCluster } from "./harness.ts";

const [home = assert.fail("no directory"), modeText, kubectl = "kubectl", patience = "1"] = process.argv.slice(2);
const mode: ProxyMode = PROXY_MODES.find((one) => one === modeText) ?? assert.fail("no mode");
try {
  checkMode(mode);
} catch (err) {
  console.log(`skip: ${errorMessage(err)}`);
  process.exit(0);
}

const PATIENCE = Number(patience);

setTimeout(() => {
  console.error("it takes too long");
  process.exit(1);
}, 70_000 * PATIENCE).unref();

const cluster = await startTestCluster(home, { nodes: 1 }, { withAgents: false });
const { plan, client } = cluster;
const node = cluster.underlay.nodes.get("node-1") ?? assert.fail("no node");
const [router = "", router6 = ""] = plan.router.addresses;
const [nodeIp = "", nodeIp6 = ""] = plan.nodes[0]?.addresses ?? [];
const config = `${home}/config.yaml`;
writeConfig(config, { "client-certificate-data": base64(cluster.admin.certificate), "client-key-data": base64(cluster.admin.key) });
// What a node's own set-up does, not a proxy.
for (const sysctl of ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]) node.setSysctl(sysctl, 1);
for (const address of [router, router6]) serve("elsewhere").listen({ host: address, port: 8080 });
serve("here").listen({ fd: listenFd(node, parseAddr(nodeIp), 8081) });

if (mode === "iptables") makeBuiltInChains();
const before = dump();
await refusals();
let log = "";
// Without a flag the ServiceCIDR objects say it.
const agent = start(["--proxy-mode", mode, ...(mode === "nftables" ? [] : ["--service-cidr", plan.serviceCidrs.join(",")])]);
await waitsForItsNode();
await ready(agent);
await servesServices();
await answersProbes();
await followsTheNode();
await leavesRules();
cleansUp();
console.log(`${mode}: a real node, from the first rule to none`);
process.exit(0);

function writeConfig(path: string, user: Readonly<Record<string, string>>): void {
  const file = kubeconfig("theirs", { server: `https://${router}:6443`, ca: cluster.admin.ca }, user);
  writeFileSync(path, stringify(file), { mode: 0o600 });
}

/** A backend that is no pod: on the router, or on the node. */
function serve(name: string): Server {
  return createServer((socket) => socket.on("error", () => {}).end(name));
}

function cli(args: readonly string[], wrap: readonly string[] = []): [string, string[]] {
  const [command = "", ...rest] = [...wrap, process.execPath, `${home}/dist/cli.js`, "agent", ...args];
  return [command, rest];
}

function start(args: readonly string[]): ChildProcess {
  const [command, rest] = cli(["--only", "proxy", "--kubeconfig", config, "--node-name", "node-1", ...args]);
  const env = { ...process.env, FAIRLEAD_READY_FD: "3" };
  const child = node.run(() => spawn(command, rest, { env, stdio: ["ignore", "inherit", "pipe", "pipe"] }));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  child.once("exit", (code) => {
    if (code !== 0) console.error(log);
  });
  return child;
}

function runToEnd(args: readonly string[], wrap?: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const [command, rest] = cli(args, wrap);
  return node.run(() => spawnSync(command, rest, { encoding: "utf8", timeout: 20_000 * PATIENCE }));
}

/** What is wrong is said at once, and why. */
async function refusals(): Promise<void> {
  const base = ["--only", "proxy", "--kubeconfig", config, "--node-name", "node-1"];
  const stranger = `${home}/stranger.yaml`;
  writeConfig(stranger, { token: "nobody" });
  const cases: [string[], number, RegExp][] = [
    [["--only", "proxy", "--kubeconfig", stranger, "--node-name", "node-1"], 1, /does not let this agent in.*system:node-proxier/],
    [[...base, "--server", "10.0.0.1:6443"], 2, /--server: "10\.0\.0\.1:6443" is not a URL/],
    [[...base, "--cluster-cidr", "10.244.0.0"], 2, /--cluster-cidr: "10\.244\.0\.0" is not/],
    [[...base, "--metrics-bind-address", "1"], 2, /--metrics-bind-address: "1" is not ADDRESS:PORT/],
    [["--only", "dns"], 2, /Allowed choices are proxy/],
    [["--kubeconfig", config], 2, /--only: is missing/],
  ];
  for (const [args, status, message] of cases) {
    const result = runToEnd(args);
    assert.match(result.stderr, message);
    assert.equal(result.status, status, args.join(" "));
  }
  const powerless = runToEnd(base, ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
  assert.match(powerless.stderr, /CAP_NET_ADMIN/);
  assert.equal(powerless.status, 1);
}

async function waitsForItsNode(): Promise<void> {
  await until("the agent says that it waits", () => log.includes("no Node of this name yet"));
  const addresses = [nodeIp, nodeIp6].map((address) => ({ type: "InternalIP", address }));
  await client.create(NODES, { metadata: { name: "node-1" }, status: { addresses } });
}

async function ready(child: ChildProcess): Promise<void> {
  const pipe = child.stdio[3];
  assert.ok(pipe);
  await Promise.race([once(pipe, "data"), once(child, "exit").then(() => assert.fail(log))]);
}

function apply(...objects: object[]): void {
  const result = spawnSync(kubectl, ["--kubeconfig", config, "apply", "-f", "-"], {
    input: objects.map((o) => stringify(o)).join("---\n"),
    encoding: "utf8",
  });
  assert.equal(result.status, 0, result.stderr);
}

function service(name: string, spec: object): object {
  const ports = [{ name: "http", port: 80, protocol: "TCP" }];
  return { apiVersion: "v1", kind: "Service", metadata: { name }, spec: { ipFamilyPolicy: "PreferDualStack", ports, ...spec } };
}

function slice(name: string, address: string, port: number, nodeName: string): object {
  const six = address.includes(":");
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-${six ? 6 : 4}`, labels: { "kubernetes.io/service-name": name } },
    addressType: six ? "IPv6" : "IPv4",
    endpoints: [{ addresses: [address], nodeName }],
    ports: [{ name: "http", port, protocol: "TCP" }],
  };
}

function field(kind: string, name: string, path: string): string {
  const args = ["--kubeconfig", config, "get", kind, name, "-o", `jsonpath={${path}}`];
  const result = spawnSync(kubectl, args, { encoding: "utf8" });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout;
}

/** From the node itself to a ClusterIP of each family, and from outside to NodePorts. */
async function servesServices(): Promise<void> {
  apply(
    service("web", { type: "NodePort" }),
    ...[router, router6].map((address) => slice("web", address, 8080, "elsewhere")),
    service("lb", { type: "LoadBalancer", externalTrafficPolicy: "Local" }),
    slice("lb", nodeIp, 8081, "node-1"),
  );
  const clusterIps = JSON.parse(field("service", "web", ".spec.clusterIPs")) as string[];
  assert.equal(clusterIps.length, 2);
  for (const ip of clusterIps) await until(`${ip} answers`, async () => (await ask(ip, 80)) === "elsewhere");
  for (const ip of [nodeIp, nodeIp6])
    await until(`the NodePort of ${ip} answers`, async () => (await askFromOutside(ip, nodePort("web"))) === "elsewhere");
  await until("policy Local answers", async () => (await askFromOutside(nodeIp, nodePort("lb"))) === "here");
  assert.doesNotMatch(dump(), /fairlead-masquerade/, "where pods' packets leave their cluster is its own affair");
}

function nodePort(name: string): number {
  return Number(field("service", name, ".spec.ports[0].nodePort"));
}

async function answersProbes(): Promise<void> {
  assert.equal((await http("127.0.0.1", 10_249, "/proxyMode")).body, mode);
  const metrics = (await http("127.0.0.1", 10_249, "/metrics")).body;
  assert.match(metrics, /^kubeproxy_sync_full_proxy_rules_duration_seconds_count\{ip_family="IPv6"\} [1-9]/m);
  assert.match(metrics, new RegExp(`^fairlead_proxy_frontends\\{mode="${mode}"\\} [1-9]`, "m"));
  for (const ip of [nodeIp, nodeIp6]) assert.equal((await http(ip, 10_256, "/healthz")).status, 200);
  const port = Number(field("service", "lb", ".spec.healthCheckNodePort"));
  const good = await http(nodeIp6, port, "/");
  assert.equal(good.status, 200);
  assert.deepEqual(JSON.parse(good.body), { service: { namespace: "default", name: "lb" }, localEndpoints: 1, serviceProxyHealthy: true });
  apply(slice("lb", nodeIp, 8081, "elsewhere"));
  await until("the last local endpoint is missed", async () => (await http(nodeIp, port, "/")).status === 503);
}

async function followsTheNode(): Promise<void> {
  const taint = { spec: { taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }] } };
  await client.patch(NODES, { name: "node-1" }, { type: "merge", body: taint });
  await until("a node that is to go is not eligible", async () => (await http(nodeIp, 10_256, "/healthz")).status === 503);
  assert.equal((await http(nodeIp, 10_256, "/livez")).status, 200);
  const moved = "172.18.0.77";
  const route = openRoute(node);
  route.addrs.set({ link: "eth0", prefix: parsePrefix(`${moved}/16`) });
  const addresses = [moved, nodeIp6].map((address) => ({ type: "InternalIP", address }));
  await client.patch(NODES, { name: "node-1" }, { type: "merge", body: { status: { addresses } } }, { subresource: "status" });
  await until("NodePorts are at the new address", async () => (await askFromOutside(moved, nodePort("web"))) === "elsewhere");
  route.addrs.del({ link: "eth0", prefix: parsePrefix(`${moved}/16`) });
  route.close();
}

async function leavesRules(): Promise<void> {
  agent.kill("SIGTERM");
  const [code] = await once(agent, "exit");
  assert.equal(code, 0);
  assert.match(log, /the rules of Services stay/);
  const [ip = ""] = JSON.parse(field("service", "web", ".spec.clusterIPs")) as string[];
  assert.equal(await ask(ip, 80), "elsewhere");
}

function cleansUp(): void {
  const first = runToEnd(["--cleanup"]);
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /^removed /m);
  console.log(first.stdout.trim());
  assert.equal(dump(), before);
  const second = runToEnd(["--cleanup"]);
  assert.equal(second.stdout, "nothing of Fairlead's is here\n");
  assert.equal(second.status, 0);
}

/** The built-in tables and chains are everybody's: iptables makes them at the first use, and they stay. */
function makeBuiltInChains(): void {
  const chains = (...names: string[]): string => names.map((name) => `:${name} ACCEPT [0:0]\n`).join("");
  const input = `*filter\n${chains("INPUT", "FORWARD", "OUTPUT")}COMMIT\n*nat\n${chains("PREROUTING", "OUTPUT", "POSTROUTING")}COMMIT\n`;
  for (const command of ["iptables-restore", "ip6tables-restore"]) {
    const result = node.run(() => spawnSync(command, { input, encoding: "utf8" }));
    assert.equal(result.status, 0, result.stderr);
  }
}

/** Everything that a proxy could leave in the node. */
function dump(): string {
  const commands = [
    "nft list ruleset",
    "ip rule",
    "ip -6 rule",
    "ip route show table all",
    "ip -br link",
    "ipset list -n",
    "cat /proc/net/ip_vs",
  ];
  const script = commands.map((command) => `echo "# ${command}"; ${command} 2>&1`).join("; ");
  return node.run(() => spawnSync("sh", ["-c", script], { encoding: "utf8" })).stdout;
}

/** From the node. */
function ask(ip: string, port: number, from: NetNs = node): Promise<string> {
  return answerOf(connectSocket(from, { addr: parseAddr(ip), port }));
}

/** From another subnet. */
function askFromOutside(ip: string, port: number): Promise<string> {
  return ask(ip, port, cluster.underlay.outside);
}

async function answerOf(socket: ReturnType<typeof connectSocket>): Promise<string> {
  let text = "";
  try {
    socket.setTimeout(2000, () => socket.destroy());
    for await (const chunk of socket.setEncoding("utf8")) text += chunk;
  } catch {
    // Refused, or nobody answers: no text.
  }
  return text;
}

/** A request from inside the node. */
async function http(ip: string, port: number, path: string): Promise<{ status: number | undefined; body: string }> {
  const createConnection = (): ReturnType<typeof connectSocket> => connectSocket(node, { addr: parseAddr(ip), port });
  const request = get({ path, host: "node", createConnection });
  const [response] = await once(request, "response");
  let body = "";
  for await (const chunk of response.setEncoding("utf8")) body += chunk;
  return { status: response.statusCode, body };
}

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const limit = Date.now() + 15_000 * PATIENCE;
  while (!(await check())) {
    if (Date.now() > limit) assert.fail(`never: ${what}\n${log}`);
    await systemClock.sleep(25);
  }
}
