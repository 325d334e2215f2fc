/** The packet walk: what the kernel would do with a packet, decided over plain data. Runs wherever JavaScript does. */
export type { Branch, Chosen, Random } from "./choices.ts";
export { type ConntrackEntry, type CtState, STATUS, type Tuple } from "./conntrack/types.ts";
export type { MatchedElement, RuleStep, RuleVerdict } from "./evaluate/evaluation.ts";
export { formatPacket, ICMP, ICMPV6, type Packet, SCTP, TCP, TCP_FLAGS, UDP } from "./packet.ts";
export type * from "./state.ts";
export { formatDecision, formatRoundTrip } from "./walk/format.ts";
export type * from "./walk/result.ts";
export { type Question, roundTrip, roundTrips, type WalkOptions } from "./walk/round-trip.ts";
export { type Network, prepareNetwork } from "./walk/run.ts";
