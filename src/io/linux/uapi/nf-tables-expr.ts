// linux/netfilter/nf_tables.h: attributes of expressions. One object per expression, named as the kernel module is.
export const IMMEDIATE = { DREG: 1, DATA: 2 } as const;
export const BITWISE = { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5, OP: 6 } as const;
export const CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
export const CMP_OPS = { "==": 0, "!=": 1, "<": 2, "<=": 3, ">": 4, ">=": 5 } as const;
export const RANGE = { SREG: 1, OP: 2, FROM_DATA: 3, TO_DATA: 4 } as const;
export const LOOKUP = { SET: 1, SREG: 2, DREG: 3, SET_ID: 4, FLAGS: 5 } as const;
export const DYNSET = { SET_NAME: 1, OP: 3, SREG_KEY: 4, SREG_DATA: 5, TIMEOUT: 6 } as const;
export const DYNSET_OPS = { add: 0, update: 1, delete: 2 } as const;
export const PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
export const PAYLOAD_BASES = { link: 0, network: 1, transport: 2 } as const;
/** enum nft_match_attributes (nf_tables_compat.h). */
export const XT_MATCH = { NAME: 1, INFO: 3 } as const;
export const META = { DREG: 1, KEY: 2, SREG: 3 } as const;
export const META_NUMBERS = {
  protocol: 1,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  oifname: 7,
  nftrace: 12,
  nfproto: 15,
  l4proto: 16,
} as const;
export const CT = { DREG: 1, KEY: 2, DIRECTION: 3, SREG: 4 } as const;
export const CT_NUMBERS = {
  state: 0,
  direction: 1,
  status: 2,
  mark: 3,
  protocol: 10,
  "proto-src": 11,
  "proto-dst": 12,
  "ip saddr": 19,
  "ip daddr": 20,
  "ip6 saddr": 21,
  "ip6 daddr": 22,
} as const;
export const FIB = { DREG: 1, RESULT: 2, FLAGS: 3 } as const;
export const FIB_RESULT_NUMBERS = { oif: 1, oifname: 2, type: 3 } as const;
export const FIB_FLAGS = { saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16 } as const;
export const NUMGEN = { DREG: 1, MODULUS: 2, TYPE: 3, OFFSET: 4 } as const;
export const NUMGEN_TYPES = { inc: 0, random: 1 } as const;
export const HASH = { SREG: 1, DREG: 2, LEN: 3, MODULUS: 4, SEED: 5, OFFSET: 6, TYPE: 7 } as const;
export const HASH_TYPES = { jhash: 0, symhash: 1 } as const;
export const NAT = { TYPE: 1, FAMILY: 2, REG_ADDR_MIN: 3, REG_ADDR_MAX: 4, REG_PROTO_MIN: 5, REG_PROTO_MAX: 6, FLAGS: 7 } as const;
export const NAT_TYPES = { snat: 0, dnat: 1 } as const;
/** NF_NAT_RANGE_*: linux/netfilter/nf_nat.h. */
export const NAT_FLAGS = { random: 4, persistent: 8, "fully-random": 16 } as const;
export const MASQ = { FLAGS: 1 } as const;
export const REDIR = { REG_PROTO_MIN: 1, FLAGS: 3 } as const;
export const REJECT = { TYPE: 1, ICMP_CODE: 2 } as const;
export const COUNTER = { BYTES: 1, PACKETS: 2 } as const;
export const LIMIT = { RATE: 1, UNIT: 2, BURST: 3, TYPE: 4, FLAGS: 5 } as const;
export const LIMIT_UNITS = { second: 1, minute: 60, hour: 3600, day: 86_400, week: 604_800 } as const;
export const LOG = { GROUP: 1, PREFIX: 2 } as const;

/** The ways to refuse, in nft's words. */
export type RejectName =
  | "tcp reset"
  | "icmpx no-route"
  | "icmpx port-unreachable"
  | "icmpx host-unreachable"
  | "icmpx admin-prohibited"
  | "icmp net-unreachable"
  | "icmp host-unreachable"
  | "icmp port-unreachable"
  | "icmp admin-prohibited"
  | "icmpv6 no-route"
  | "icmpv6 admin-prohibited"
  | "icmpv6 addr-unreachable"
  | "icmpv6 port-unreachable";

/** NFT_REJECT_* and the ICMP codes (RFC 792, RFC 4443 §3.1). */
export const REJECTS: Readonly<Record<RejectName, readonly [type: number, code: number]>> = {
  "tcp reset": [1, 0],
  "icmpx no-route": [2, 0],
  "icmpx port-unreachable": [2, 1],
  "icmpx host-unreachable": [2, 2],
  "icmpx admin-prohibited": [2, 3],
  "icmp net-unreachable": [0, 0],
  "icmp host-unreachable": [0, 1],
  "icmp port-unreachable": [0, 3],
  "icmp admin-prohibited": [0, 13],
  "icmpv6 no-route": [0, 0],
  "icmpv6 admin-prohibited": [0, 1],
  "icmpv6 addr-unreachable": [0, 3],
  "icmpv6 port-unreachable": [0, 4],
};
