/** Services: from objects to a flat nftables layout. */
export type { ProxyMetrics } from "./metrics.ts";
export { type ProxyOptions, type ServiceProxy, startProxy } from "./start.ts";
export type { ProxyNode } from "./types.ts";
