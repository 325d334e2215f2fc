/** A whole cluster on one machine: what it looks like, and how the host talks to it. */
export { clusterPaths, componentKubeconfig } from "./components.ts";
export { askControl, controlLines, join, type SandboxStatus } from "./control.ts";
export { readDatagrams, writeDatagram } from "./datagrams.ts";
export { isNodePort, type NodePort } from "./node-ports.ts";
export { type SandboxObserver, sandboxObserver } from "./observer.ts";
export { type ClusterOptions, type ClusterPlan, type IpFamily, MAX_NODES, type Overlay, planCluster } from "./plan.ts";
export { openProgress, type ProgressEvent, parseProgress } from "./progress.ts";
export type { ComponentStatus } from "./supervise.ts";
