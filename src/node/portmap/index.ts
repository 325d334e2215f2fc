/** Host ports: a port of the node that leads to a pod, as CNI's portmap plugin makes it. */
export { compile as compileHostPorts } from "./compile.ts";
export { type PortmapMetrics, portmapMetrics } from "./metrics.ts";
export { createHostPorts } from "./reconcile.ts";
export type { HostPorts, HostPortsOptions, PodPorts, PortMapping } from "./types.ts";
