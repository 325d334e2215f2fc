/** The Kubernetes API over HTTP: calls, list and watch, informers. */
export { ApiError, type ApiStatus, isAlreadyExists, isConflict, isExpired, isNotFound } from "./errors.ts";
export type * from "./types.ts";
