/** Services: from objects to a flat nftables layout. */

export { type CompileInput, compileService } from "./compile.ts";
export { PROXY_MODES, type ProxyMode } from "./dataplane.ts";
export type { ServiceReport } from "./inspect.ts";
export type { ProxyMetrics } from "./metrics.ts";
export { checkMode, removeModes } from "./modes.ts";
export { type ServiceTableInput, serviceTable } from "./nftables/desired.ts";
export { primaryAddresses } from "./node-watch.ts";
export { type ProxyOptions, type ServiceProxy, startProxy } from "./start.ts";
export type { Backend, ClusterCidrs, CompiledService, Frontend, FrontendKind, ProxyNode } from "./types.ts";
