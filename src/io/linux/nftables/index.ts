/** nf_tables: transactions in, tables out. */
export { holdTable, openNft } from "./socket.ts";
export { type TraceEvent, type TraceVerdict, watchTrace } from "./trace.ts";
export type { NftSocket } from "./types.ts";
