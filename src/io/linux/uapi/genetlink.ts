// linux/genetlink.h
export const NETLINK_GENERIC = 16;

export const GENL_ID_CTRL = 0x10;
/** sizeof(struct genlmsghdr) */
export const GENL_HDRLEN = 4;

export const CTRL_CMD_GETFAMILY = 3;
export const CTRL_ATTR_FAMILY_ID = 1;
export const CTRL_ATTR_FAMILY_NAME = 2;
