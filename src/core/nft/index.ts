/** The nftables ruleset as data: what a table holds, how it reads as nft text, and the steps from one table to another. */
export type * from "./ast.ts";
export {
  accept,
  concat,
  ct,
  drop,
  equals,
  exprType,
  exprTypes,
  goto,
  gotoVerdict,
  hasFlags,
  inPrefix,
  inSet,
  jump,
  meta,
  NFPROTO,
  ofFamily,
  payload,
  reject,
} from "./build.ts";
export {
  DATATYPES,
  type Datatype,
  type Interval,
  isInterval,
  keyBytes,
  named,
  paddedBytes,
  readValue,
  SCTP,
  TCP,
  UDP,
  type Value,
  writeValue,
} from "./datatypes.ts";
export { type Diff, diffElements, diffTable, headerOf } from "./diff.ts";
export {
  CT_KEYS,
  type CtKey,
  FIB_RESULTS,
  type FibKey,
  META_KEYS,
  type MetaKey,
  PAYLOAD_FIELDS,
  type PayloadField,
  type PayloadInfo,
} from "./fields.ts";
export {
  type FormatOptions,
  formatChain,
  formatData,
  formatElement,
  formatKey,
  formatRule,
  formatSet,
  formatSetHeader,
  formatTable,
  formatTables,
  needsTypeof,
} from "./format.ts";
export { intervalPrefix, prefixInterval } from "./intervals.ts";
export { formatDuration, formatVerdict } from "./text.ts";
