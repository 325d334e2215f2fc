// linux/sock_diag.h, linux/inet_diag.h; net/tcp_states.h
export const NETLINK_SOCK_DIAG = 4;
export const SOCK_DIAG_BY_FAMILY = 20;

/** sizeof(struct inet_diag_msg) */
export const INET_DIAG_MSG_BYTES = 72;
export const INET_DIAG_SKV6ONLY = 11;

export const TCP_CLOSE = 7;
export const TCP_LISTEN = 10;
