/** What the kernels of the cluster hold, and what packets do: reports, probes and watches. */
export { decodeJson, decodeReport, decodeSighting, encodeJson, encodeReport } from "./codec.ts";
export { mergeReports } from "./merge.ts";
export { type ObservedPlace, type ObserverPages, type OpenPlace, observerPages } from "./pages.ts";
export { probe } from "./probe.ts";
export { type OpenNamespace, type ReportSource, readReport } from "./read.ts";
export type * from "./types.ts";
export { type WatchSource, watch } from "./watch.ts";
