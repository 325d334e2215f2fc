import { errorMessage } from "#base";
import type { ControllerContext } from "./context.ts";
import { startDeployments } from "./deployment/reconcile.ts";
import { startEndpoints } from "./endpoints/reconcile.ts";
import { startEndpointSlices } from "./endpointslice/reconcile.ts";
import { startEndpointSliceMirroring } from "./endpointslicemirroring/reconcile.ts";
import { startGarbageCollector } from "./garbage/reconcile.ts";
import { startNamespaces } from "./namespace/reconcile.ts";
import type { Pool } from "./node-ipam/compute.ts";
import { startNodeIpam } from "./node-ipam/reconcile.ts";
import { startTaintEviction } from "./node-lifecycle/eviction.ts";
import { startNodeLifecycle } from "./node-lifecycle/reconcile.ts";
import { startPodGc } from "./pod-gc/reconcile.ts";
import { startReplicaSets } from "./replicaset/reconcile.ts";
import { startServiceAccounts } from "./service-account/reconcile.ts";

export interface ControllersOptions {
  /** The cluster's Pod CIDRs; empty where someone else gives nodes theirs. */
  readonly pools: readonly Pool[];
  /** PEM, for the ConfigMap `kube-root-ca.crt` of every namespace. */
  readonly rootCa?: string | undefined;
  /** How long those wait that only clean up: in a cluster's first moments, every other process is starting (0 unless told). */
  readonly cleanupDelayMs?: number | undefined;
}

/** Resolves once every controller but those that clean up knows what is there. They end with the context's signal. */
export async function startControllers(context: ControllerContext, options: ControllersOptions): Promise<void> {
  await Promise.all([
    ...(options.pools.length === 0 ? [] : [startNodeIpam(context, options.pools)]),
    startDeployments(context),
    startReplicaSets(context),
    startEndpointSlices(context),
    startEndpoints(context),
    startEndpointSliceMirroring(context),
    startServiceAccounts(context, options.rootCa),
    startNodeLifecycle(context),
    startTaintEviction(context),
  ]);
  startCleanup(context, options.cleanupDelayMs ?? 0).catch((err: unknown) => {
    context.logger.error("cannot start to clean up", { err: errorMessage(err) });
  });
}

async function startCleanup(context: ControllerContext, delayMs: number): Promise<void> {
  await context.clock.sleep(delayMs, context.signal);
  if (context.signal.aborted) return;
  await Promise.all([startNamespaces(context), startGarbageCollector(context), startPodGc(context)]);
}
