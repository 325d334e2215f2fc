// The processes of a sandboxed cluster: which program runs where, with which arguments.
import type { ClusterPlan, NodePlan } from "./plan.ts";

export interface ComponentSpec {
  /** Unique: `apiserver`, `controllers`, `agent-node-1`. */
  readonly id: string;
  readonly name: "apiserver" | "controllers" | "agent";
  /** The node it runs on; absent for the control plane. */
  readonly node?: string;
  readonly args: readonly string[];
}

/** Where a cluster keeps its files; `home` is `$FAIRLEAD_HOME/<name>`. */
export function clusterPaths(home: string): {
  readonly store: string;
  readonly pki: string;
  readonly run: string;
  readonly logs: string;
  readonly apiSocket: string;
  readonly controlSocket: string;
  readonly tokens: string;
  readonly kubeletToken: string;
  readonly kubeconfig: string;
  readonly state: string;
} {
  const run = `${home}/run`;
  const pki = `${home}/pki`;
  return {
    store: `${home}/store.db`,
    pki,
    run,
    logs: `${home}/logs`,
    apiSocket: `${run}/apiserver.sock`,
    controlSocket: `${run}/control.sock`,
    tokens: `${pki}/tokens.csv`,
    kubeletToken: `${pki}/kubelet-token`,
    kubeconfig: `${home}/kubeconfig`,
    state: `${home}/state.json`,
  };
}

/** The kubeconfig of a component, by its id. */
export function componentKubeconfig(home: string, id: string): string {
  return `${clusterPaths(home).pki}/${id}.kubeconfig`;
}

/** `{ "node-ip": ["a", "b"] }` is `--node-ip a,b`. */
function flags(values: Readonly<Record<string, string | readonly (string | number)[]>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, typeof value === "string" ? value : value.join(",")]);
}

export function componentSpecs(plan: ClusterPlan, home: string): ComponentSpec[] {
  return [apiserver(plan, home), controllers(plan, home), ...plan.nodes.map((node) => agent(plan, home, node))];
}

function apiserver(plan: ClusterPlan, home: string): ComponentSpec {
  const paths = clusterPaths(home);
  const listen = plan.router.addresses.flatMap((addr) => ["--listen", addr.includes(":") ? `[${addr}]:6443` : `${addr}:6443`]);
  const others = flags({
    store: paths.store,
    "unix-socket": paths.apiSocket,
    "tls-cert": `${paths.pki}/apiserver.crt`,
    "tls-key": `${paths.pki}/apiserver.key`,
    "client-ca": `${paths.pki}/ca.crt`,
    "service-account-key": `${paths.pki}/service-account.key`,
    "token-file": paths.tokens,
    "kubelet-token-file": paths.kubeletToken,
    "service-cidr": plan.serviceCidrs,
    "advertise-address": plan.router.addresses,
    "cluster-domain": plan.clusterDomain,
  });
  return { id: "apiserver", name: "apiserver", args: [...listen, ...others] };
}

function controllers(plan: ClusterPlan, home: string): ComponentSpec {
  const args = flags({
    kubeconfig: componentKubeconfig(home, "controllers"),
    "cluster-cidr": plan.podCidrs,
    "node-cidr-mask-size": plan.nodeMaskBits,
    "service-cidr": plan.serviceCidrs,
  });
  return { id: "controllers", name: "controllers", args };
}

function agent(plan: ClusterPlan, home: string, node: NodePlan): ComponentSpec {
  const args = flags({
    kubeconfig: componentKubeconfig(home, "agent"),
    "node-name": node.name,
    "node-ip": node.addresses,
    overlay: plan.options.overlay,
    "proxy-mode": plan.options.proxyMode ?? "nftables",
    "policy-established": plan.options.policyEstablished ?? "cut",
    "node-root": `${home}/nodes/${node.name}`,
    "cluster-dns": plan.dnsAddresses,
    "cluster-domain": plan.clusterDomain,
    "service-cidr": plan.serviceCidrs,
    "cluster-cidr": plan.podCidrs,
    "kubelet-token-file": clusterPaths(home).kubeletToken,
    "exits-dir": `${clusterPaths(home).run}/exits`,
  });
  return { id: `agent-${node.name}`, name: "agent", node: node.name, args };
}
