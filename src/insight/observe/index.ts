/** What the kernels of the cluster hold, and what packets do: reports, probes and watches. */
export { decodeReport, encodeReport } from "./codec.ts";
export { mergeReports } from "./merge.ts";
export type * from "./types.ts";
