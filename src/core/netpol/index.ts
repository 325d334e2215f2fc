/** What network policies mean: understood once, for whoever compiles, judges or explains them. */

export { allowedPorts } from "./allowed-ports.ts";
export { compareClusterPolicies, parseClusterPolicy } from "./cluster-parse.ts";
export { countsForClusterNames, isClusterPeer, isNodePeer, nodeFacts, selectsPod, thinNode } from "./cluster-select.ts";
export type * from "./cluster-types.ts";
export { decide, isAllowed } from "./decide.ts";
export { applyEdits, insertInto } from "./edits.ts";
export { podFacts, protocolNumber, sameFacts, thinNamespace, thinPod } from "./facts.ts";
export { judge } from "./judge.ts";
export type * from "./judge-types.ts";
export { openedBy } from "./opens.ts";
export { parsePolicy } from "./parse.ts";
export type { PortRange, PortSet } from "./port-sets.ts";
export { countsForNames, dependsOn, isSelectedPeer, selects } from "./select.ts";
export type * from "./types.ts";
