// Which resolv.conf a pod gets, by its dnsPolicy and dnsConfig. Pure. After `pkg/kubelet/network/dns/dns.go`.
import type { Pod } from "kubernetes-types/core/v1";
import type { DnsConfig } from "#runtime";
import { type StoredPod, usesHostNetwork } from "./pod-spec.ts";

// validation.MaxDNSNameservers, MaxDNSSearchPaths, MaxDNSSearchListChars; glibc's own limit is 3 too.
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2048;
const MAX_SEARCH_LENGTH = 253;

export interface DnsSettings {
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** The node's own resolv.conf, parsed. */
  readonly host: DnsConfig;
}

export interface PodDns {
  readonly config: DnsConfig;
  /** For an event on the pod. */
  readonly warning?: { readonly reason: string; readonly message: string };
}

/** resolv.conf(5): of several `search` or `options` lines the last one counts. */
export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && values[0] !== undefined) servers.push(values[0]);
    else if (keyword === "search") searches = values.map((name) => (name === "." ? name : name.replace(/\.$/, "")));
    else if (keyword === "options") options = values;
  }
  return { servers, searches, options };
}

export function podDns(pod: StoredPod, settings: DnsSettings): PodDns {
  const { base, warning } = baseConfig(pod, settings);
  const { config, omitted } = limit(withDnsConfig(base, pod.spec?.dnsConfig));
  const message = warning ?? (omitted.length === 0 ? undefined : { reason: "DNSConfigForming", message: omitted.join("; ") });
  return { config, ...(message !== undefined && { warning: message }) };
}

function baseConfig(pod: StoredPod, { clusterDns, clusterDomain, host }: DnsSettings): { base: DnsConfig; warning?: PodDns["warning"] } {
  const policy = pod.spec?.dnsPolicy ?? "ClusterFirst";
  if (policy === "None") return { base: { servers: [], searches: [], options: [] } };
  const wantsCluster = policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && !usesHostNetwork(pod));
  if (!wantsCluster) return { base: hostConfig(host) };
  if (clusterDns.length === 0) {
    const message =
      `pod: "${pod.metadata.name}". kubelet does not have ClusterDNS IP configured and cannot create Pod using "${policy}" policy. ` +
      `Falling back to "Default" policy.`;
    return { base: hostConfig(host), warning: { reason: "MissingClusterDNS", message } };
  }
  const domains = [`${pod.metadata.namespace ?? ""}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  return { base: { servers: clusterDns, searches: unique([...domains, ...host.searches]), options: ["ndots:5"] } };
}

/** Without any name server a resolver asks the local machine; say so. */
function hostConfig(host: DnsConfig): DnsConfig {
  return host.servers.length > 0 ? host : { ...host, servers: ["127.0.0.1"], searches: host.searches.length > 0 ? host.searches : ["."] };
}

/** Servers and searches are added, options replaced by name. */
function withDnsConfig(base: DnsConfig, own: NonNullable<Pod["spec"]>["dnsConfig"]): DnsConfig {
  if (own === undefined) return base;
  const options = new Map(base.options.map((option) => [option.split(":")[0] ?? "", option]));
  for (const { name = "", value } of own.options ?? []) {
    if (name !== "") options.set(name, value === undefined || value === "" ? name : `${name}:${value}`);
  }
  return {
    servers: unique([...base.servers, ...(own.nameservers ?? [])]),
    searches: unique([...base.searches, ...(own.searches ?? [])]),
    options: [...options.values()],
  };
}

function limit(config: DnsConfig): { config: DnsConfig; omitted: string[] } {
  const omitted: string[] = [];
  const servers = config.servers.slice(0, MAX_NAMESERVERS);
  if (servers.length < config.servers.length) {
    omitted.push(
      `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${servers.join(" ")}`,
    );
  }
  const searches: string[] = [];
  let length = 0;
  for (const search of config.searches.slice(0, MAX_SEARCHES)) {
    if (search.length > MAX_SEARCH_LENGTH || length + search.length > MAX_SEARCH_CHARS) continue;
    searches.push(search);
    length += search.length + 1;
  }
  if (searches.length < config.searches.length) {
    omitted.push(
      `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${searches.join(" ")}`,
    );
  }
  return { config: { servers, searches, options: config.options }, omitted };
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)];
}
