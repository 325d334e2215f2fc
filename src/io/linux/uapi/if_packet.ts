// linux/if_packet.h, linux/if_ether.h, asm-generic/sockios.h
export const PACKET_OUTGOING = 4;
export const ETH_P_ALL = 3;
export const SIOCGSTAMPNS_OLD = 0x8907;
