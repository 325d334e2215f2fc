/** Services: from objects to a flat nftables layout. */
export type { ProxyMetrics } from "./metrics.ts";
export { type Proxy, type ProxyOptions, startProxy } from "./start.ts";
export type { ProxyNode } from "./types.ts";
