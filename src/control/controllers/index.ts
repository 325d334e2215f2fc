/** What turns wishes into objects: Deployments into ReplicaSets into pods, Services into EndpointSlices, nodes into address blocks. */
export type { ControllerContext } from "./context.ts";
export { createInformers, type Informers } from "./informers.ts";
export { makePools, type Pool } from "./node-ipam/compute.ts";
export { type ControllersOptions, startControllers } from "./start.ts";
