// /etc/hosts of a pod (kubelet `managedHostsFileContent`). Pure.
import type { HostAlias } from "kubernetes-types/core/v1";

export interface HostsRequest {
  readonly ips: readonly string[];
  readonly hostname: string;
  readonly fqdn?: string | undefined;
  readonly aliases: readonly HostAlias[];
}

const LOCAL = [
  "# Kubernetes-managed hosts file.",
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "fe00::0\tip6-mcastprefix",
  "fe00::1\tip6-allnodes",
  "fe00::2\tip6-allrouters",
];

export function hostsFile({ ips, hostname, fqdn, aliases }: HostsRequest): string {
  const own = ips.map((ip) => (fqdn === undefined ? `${ip}\t${hostname}` : `${ip}\t${fqdn}\t${hostname}`));
  return `${[...LOCAL, ...own].join("\n")}\n${aliasLines(aliases)}`;
}

/** With the node's network: the node's own file, and the pod's aliases (`nodeHostsFileContent`). */
export function hostNetworkHostsFile(nodeHosts: string, aliases: readonly HostAlias[]): string {
  return `# Kubernetes-managed hosts file (host network).\n${nodeHosts}${aliasLines(aliases)}`;
}

function aliasLines(aliases: readonly HostAlias[]): string {
  if (aliases.length === 0) return "";
  const lines = aliases.map(({ ip, hostnames = [] }) => `${ip ?? ""}\t${hostnames.join("\t")}`);
  return `\n# Entries added by HostAliases.\n${lines.join("\n")}\n`;
}
