/** Pod traffic between nodes: backends decide from the Nodes what the kernel should have, one reconciler makes it so. */
export { BACKENDS } from "./compile.ts";
export { formatOverlay } from "./format.ts";
export { compileMasquerade } from "./masquerade.ts";
export { startMasquerade } from "./masquerade-reconcile.ts";
export { type OverlayMetrics, overlayMetrics } from "./metrics.ts";
export { VTEP_MAC_ANNOTATION, VXLAN_LINK } from "./names.ts";
export { peersOf, podCidrsOf } from "./nodes.ts";
export { type Overlay, type OverlayOptions, podMtu, startOverlay } from "./reconcile.ts";
export { removeOverlay } from "./remove.ts";
export type { LocalNode, OverlayBackend, OverlayProblem, OverlayState, PeerNode, Underlay } from "./types.ts";
