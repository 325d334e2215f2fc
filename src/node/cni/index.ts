/** A pod's link, addresses and routes: the verbs of CNI over a bridge of isolated ports. */
export { BRIDGE, compileBridge, compilePod, hostLinkName } from "./compile.ts";
export { createPodNetwork } from "./network.ts";
export type { Attachment, CniInterface, CniIp, CniResult, CniRoute, PodNetwork, PodNetworkOptions, PodPlan, PodRange } from "./types.ts";
