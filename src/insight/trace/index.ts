/** From a question to what should happen, what did, and why. */
export { formatBrief } from "./brief.ts";
export { formatCause, formatTrace, type Paint } from "./format.ts";
export { gatherReports, listObjects, nodeDoor, type ObserverDoor, SANDBOX, serviceReport } from "./gather.ts";
export { type AskedFlow, explainFlow } from "./policy-cause.ts";
export { serviceAt } from "./question.ts";
export { plain } from "./text.ts";
export { type TraceInput, trace } from "./trace.ts";
export type * from "./types.ts";
