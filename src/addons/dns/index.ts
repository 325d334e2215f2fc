/** The cluster's DNS server. */
export { type Answer, answer, type Circumstances, completeAlias } from "./answer.ts";
export type { Upstream } from "./exchange.ts";
export type { ZoneOptions, Zones } from "./lookup.ts";
export { parseNameservers, parseUpstream, readNameservers, withoutSelf } from "./resolv-conf.ts";
export { type DnsServer, type DnsServerOptions, startDnsServer } from "./server.ts";
export type { StatusPorts } from "./status-pages.ts";
export { ZoneIndex } from "./zone-index.ts";
