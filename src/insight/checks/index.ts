/** Numbered checks of a live cluster: what each proves, what it examined, what is wrong and what to do. */
export { gather, type Sources } from "./gather.ts";
export { formatResults, listChecks } from "./report.ts";
export { CHECKS, PROBING, parseOnly, runChecks } from "./run.ts";
export type * from "./types.ts";
