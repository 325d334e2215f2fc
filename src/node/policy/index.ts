/** NetworkPolicy: who may reach the pods of this node, and whom they may reach. */

export type { Drop, DropEnd, DropsLeftOut } from "./drop-types.ts";
export { ESTABLISHED, type Established } from "./layout.ts";
export { type PolicyMetrics, policyMetrics } from "./metrics.ts";
export { startPolicies } from "./start.ts";
export { type PolicyObjects, PolicyTables } from "./tables.ts";
export type { LocalPod, Policies, PoliciesOptions } from "./types.ts";
