import type { DnsConfig } from "./types.ts";

/** resolv.conf(5); lines without a value are left out. */
export function formatResolvConf(dns: DnsConfig): string {
  const lines = dns.servers.map((server) => `nameserver ${server}`);
  if (dns.searches.length > 0) lines.push(`search ${dns.searches.join(" ")}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(" ")}`);
  return `${lines.join("\n")}\n`;
}
