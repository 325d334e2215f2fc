/** The Kubernetes API as data: kinds, selectors, quantities, patches, defaults, validation. */
export * from "./resources.ts";
export * from "./types.ts";
