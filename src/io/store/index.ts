/** The revisioned key-value log behind the API server. */
export { EmbeddedStore, type EmbeddedStoreOptions } from "./embedded.ts";
export type { Durability } from "./log.ts";
export {
  type Codec,
  type Entry,
  isStoreError,
  type ListOptions,
  type Page,
  type Store,
  StoreError,
  type StoreErrorCode,
  type StoreEvent,
  type WatchOptions,
} from "./types.ts";
