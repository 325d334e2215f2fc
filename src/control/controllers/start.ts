import type { ControllerContext } from "./context.ts";
import { startDeployments } from "./deployment/reconcile.ts";
import { startEndpointSlices } from "./endpointslice/reconcile.ts";
import type { Pool } from "./node-ipam/compute.ts";
import { startNodeIpam } from "./node-ipam/reconcile.ts";
import { startReplicaSets } from "./replicaset/reconcile.ts";

export interface ControllersOptions {
  /** The cluster's Pod CIDRs; empty where someone else gives nodes theirs. */
  readonly pools: readonly Pool[];
}

/** Resolves once every controller knows what is there. They end with the context's signal. */
export async function startControllers(context: ControllerContext, options: ControllersOptions): Promise<void> {
  await Promise.all([
    ...(options.pools.length === 0 ? [] : [startNodeIpam(context, options.pools)]),
    startDeployments(context),
    startReplicaSets(context),
    startEndpointSlices(context),
  ]);
}
