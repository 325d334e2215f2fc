/** The Kubernetes API as data: kinds, selectors, quantities, patches, defaults, validation. */
export {
  checkFieldSelector,
  type FieldRequirement,
  formatFieldSelector,
  matchFields,
  type ParsedFieldSelector,
  parseFieldSelector,
  selectedName,
} from "./field-selectors.ts";
export * from "./patch/index.ts";
export * from "./quantity.ts";
export * from "./resources.ts";
export * from "./selectors.ts";
export * from "./types.ts";
