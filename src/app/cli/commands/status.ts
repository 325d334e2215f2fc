// `fairlead status`: what runs, where, and how much memory it takes.
import type { Node } from "kubernetes-types/core/v1";
import { errorMessage } from "#base";
import { NODES } from "#kube";
import { askControl, type ComponentStatus, clusterPaths, type SandboxStatus } from "#sandbox";
import type { ClusterState } from "../../supervisor/state.ts";
import { openClient } from "../api.ts";
import { type Cluster, runningCluster } from "../home.ts";
import { pssBytes, sandboxPids } from "../processes.ts";
import { formatTable, paint } from "../terminal.ts";

interface ComponentRow {
  readonly name: string;
  readonly node: string | null;
  /** As the host counts them. */
  readonly pid: number;
  readonly state: string;
  readonly restarts: number;
  readonly pssBytes: number;
}

interface NodeRow {
  readonly name: string;
  readonly ready: boolean;
  readonly addresses: readonly string[];
  readonly podCIDRs: readonly string[];
}

interface Status {
  readonly name: string;
  readonly state: string;
  readonly overlay: string;
  readonly proxyMode: string;
  readonly ipFamily: string;
  readonly server: string;
  readonly kubeconfig: string;
  readonly logs: string;
  readonly nodes: readonly NodeRow[];
  readonly components: readonly ComponentRow[];
  readonly pssBytes: number;
  readonly problems: readonly string[];
}

export async function status(options: { name: string; output: "text" | "json" }): Promise<void> {
  const value = await readStatus(options.name);
  process.stdout.write(options.output === "json" ? `${JSON.stringify(value, null, 2)}\n` : format(value));
}

async function readStatus(name: string): Promise<Status> {
  const cluster = runningCluster(name);
  const paths = clusterPaths(cluster.home);
  const problems: string[] = [];
  const components = await readComponents(cluster, problems);
  const nodes = await readNodes(name, problems);
  const degraded = problems.length > 0 || components.some((c) => c.state !== "running") || nodes.some((node) => !node.ready);
  return {
    name,
    state: degraded ? "degraded" : "running",
    overlay: cluster.state.options.overlay,
    proxyMode: cluster.state.options.proxyMode ?? "nftables",
    ipFamily: cluster.state.options.ipFamily,
    server: `https://127.0.0.1:${cluster.state.apiPort}`,
    kubeconfig: paths.kubeconfig,
    logs: paths.logs,
    nodes,
    components,
    pssBytes: components.reduce((sum, component) => sum + component.pssBytes, 0),
    problems,
  };
}

async function readComponents(cluster: Cluster & { state: ClusterState }, problems: string[]): Promise<ComponentRow[]> {
  const hostPids = sandboxPids(cluster.state.sandboxParentPid);
  const row = (component: Pick<ComponentStatus, "name" | "state" | "restarts"> & { node?: string }, pid: number): ComponentRow => ({
    name: component.name,
    node: component.node ?? null,
    pid,
    state: component.state,
    restarts: component.restarts,
    pssBytes: pssBytes(pid),
  });
  const rows = [row({ name: "supervisor", state: "running", restarts: 0 }, cluster.state.pid)];
  rows.push(row({ name: "sandbox", state: "running", restarts: 0 }, hostPids.get(1) ?? 0));
  try {
    const { line, socket } = await askControl(clusterPaths(cluster.home).controlSocket, { op: "status" });
    socket.destroy();
    const inside = JSON.parse(line) as SandboxStatus;
    rows.push(...inside.components.map((component) => row(component, hostPids.get(component.pid) ?? 0)));
  } catch (err) {
    problems.push(`the sandbox does not answer: ${errorMessage(err)}`);
  }
  return rows;
}

async function readNodes(name: string, problems: string[]): Promise<NodeRow[]> {
  const client = openClient(name);
  try {
    const { items } = await client.list(NODES);
    return items.map(nodeRow);
  } catch (err) {
    problems.push(`the API server does not answer: ${errorMessage(err)}`);
    return [];
  } finally {
    client.close();
  }
}

function nodeRow(node: Node): NodeRow {
  return {
    name: node.metadata?.name ?? "",
    ready: node.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false,
    addresses: (node.status?.addresses ?? []).filter((a) => a.type === "InternalIP").map((a) => a.address),
    podCIDRs: node.spec?.podCIDRs ?? [],
  };
}

const MIB = 1024 * 1024;

function format(value: Status): string {
  const colour = value.state === "running" ? "green" : "yellow";
  const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
  const head = [
    `cluster      ${paint("bold", value.name)}  ${paint(colour, value.state)}  (${value.ipFamily}, ${value.overlay}, ${value.proxyMode})`,
    `API server   ${value.server}`,
    `kubeconfig   ${value.kubeconfig}`,
    `logs         ${value.logs}`,
  ];
  const nodes = value.nodes.map((n) => [n.name, n.ready ? "Ready" : "NotReady", n.addresses.join(","), n.podCIDRs.join(",")]);
  const components = value.components.map((c) => [c.name, c.node ?? "-", String(c.pid), c.state, String(c.restarts), mib(c.pssBytes)]);
  return [
    `${head.join("\n")}\n`,
    formatTable(["NODE", "STATUS", "ADDRESSES", "POD CIDRS"], nodes),
    `${formatTable(["COMPONENT", "NODE", "PID", "STATE", "RESTARTS", "PSS"], components)}total        ${mib(value.pssBytes)}`,
    ...value.problems.map((problem) => paint("red", problem)),
  ]
    .join("\n")
    .concat("\n");
}
