// The processes of a sandboxed cluster: which program runs where, with which arguments.
import type { ClusterPlan } from "./plan.ts";

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

export function componentSpecs(plan: ClusterPlan, home: string): ComponentSpec[] {
  const paths = clusterPaths(home);
  const join = (values: readonly (string | number)[]): string => values.join(",");
  const apiserver: ComponentSpec = {
    id: "apiserver",
    name: "apiserver",
    args: [
      ...["--store", paths.store, "--unix-socket", paths.apiSocket],
      ...plan.router.addresses.flatMap((addr) => ["--listen", addr.includes(":") ? `[${addr}]:6443` : `${addr}:6443`]),
      ...["--tls-cert", `${paths.pki}/apiserver.crt`, "--tls-key", `${paths.pki}/apiserver.key`],
      ...["--client-ca", `${paths.pki}/ca.crt`, "--service-account-key", `${paths.pki}/service-account.key`],
      ...["--token-file", paths.tokens, "--kubelet-token-file", paths.kubeletToken],
      ...["--service-cidr", join(plan.serviceCidrs), "--advertise-address", join(plan.router.addresses)],
      ...["--cluster-domain", plan.clusterDomain],
    ],
  };
  const controllers: ComponentSpec = {
    id: "controllers",
    name: "controllers",
    args: [
      ...["--kubeconfig", componentKubeconfig(home, "controllers"), "--cluster-cidr", join(plan.podCidrs)],
      ...["--node-cidr-mask-size", join(plan.nodeMaskBits), "--service-cidr", join(plan.serviceCidrs)],
    ],
  };
  const agents = plan.nodes.map((node): ComponentSpec => {
    const id = `agent-${node.name}`;
    return {
      id,
      name: "agent",
      node: node.name,
      args: [
        ...["--kubeconfig", componentKubeconfig(home, "agent"), "--node-name", node.name, "--node-ip", join(node.addresses)],
        ...["--overlay", plan.options.overlay, "--node-root", `${home}/nodes/${node.name}`],
        ...["--cluster-dns", join(plan.dnsAddresses), "--cluster-domain", plan.clusterDomain],
        ...["--service-cidr", join(plan.serviceCidrs), "--cluster-cidr", join(plan.podCidrs)],
        ...["--kubelet-token-file", paths.kubeletToken],
      ],
    };
  });
  return [apiserver, controllers, ...agents];
}
