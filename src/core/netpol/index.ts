/** What network policies mean: understood once, for whoever compiles, judges or explains them. */
export { podFacts, protocolNumber, sameFacts, thinNamespace, thinPod } from "./facts.ts";
export type * from "./judge-types.ts";
export { parsePolicy } from "./parse.ts";
export { countsForNames, dependsOn, isSelectedPeer, selects } from "./select.ts";
export type * from "./types.ts";
