// linux/net_namespace.h
export const NETNSA_NSID = 1;
export const NETNSA_FD = 3;
/** NETNSA_NSID_NOT_ASSIGNED */
export const NSID_NOT_ASSIGNED = -1;
