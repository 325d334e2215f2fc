/** What every kernel of a cluster would hold, from API objects alone: the network in the model's words. */
export { addrsOf, hasNamespace, namespaceOf } from "./pods.ts";
export { createShadow, type Shadow, shadowNetwork } from "./shadow.ts";
export type * from "./types.ts";
export { OUTSIDE, ROUTER } from "./underlay.ts";
