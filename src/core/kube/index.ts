/** The Kubernetes API as data: kinds, selectors, quantities, patches, defaults, validation. */
export type * from "./cluster-network-policy.ts";
export { humanAge, humanDuration } from "./duration.ts";
export {
  checkFieldSelector,
  type FieldRequirement,
  formatFieldSelector,
  matchFields,
  type ParsedFieldSelector,
  parseFieldSelector,
  selectedName,
} from "./field-selectors.ts";
export { hostPorts, portsClash } from "./host-ports.ts";
export { internalAddrsOf } from "./node-addresses.ts";
export * from "./patch/index.ts";
export * from "./quantity.ts";
export * from "./resources.ts";
export * from "./selectors.ts";
export { type PodSummary, podSummary } from "./table/pods.ts";
export type { Cell, TableColumn } from "./table/printer.ts";
export { type Table, type TableOptions, type TableRow, tableOf } from "./table.ts";
export * from "./types.ts";
