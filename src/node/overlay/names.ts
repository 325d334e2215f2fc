/** The vxlan device; the overlay owns the device and everything on it. */
export const VXLAN_LINK = "fairlead.vx";
/** RTPROT of the routes that the overlay owns, on whichever link they are. */
export const ROUTE_PROTOCOL = 200;
export const VNI = 1;
/** Linux's old default and flannel's port; IANA's 4789 is left to others on the same machines. */
export const VXLAN_PORT = 8472;
/** Tells peers the MAC of this node's vxlan device. */
export const VTEP_MAC_ANNOTATION = "fairlead.dev/vtep-mac";
