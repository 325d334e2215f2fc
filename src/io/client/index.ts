/** The Kubernetes API over HTTP: calls, list and watch, informers. */
export { POD_BINDINGS, TOKEN_REQUESTS } from "./bindings.ts";
export { type ClientConfig, inClusterConfig, loadKubeconfig, readKubeconfig } from "./config.ts";
export { ApiError, type ApiStatus, isAlreadyExists, isConflict, isExpired, isNotFound } from "./errors.ts";
export { createEventRecorder, type EventRecorder, type EventRecorderOptions, type RecordedEvent } from "./events.ts";
export { createHttpClient, type HttpClient } from "./http.ts";
export { createInformer, dropManagedFields, type InformerOptions } from "./informer.ts";
export type { HttpRequest, HttpResponse } from "./transport.ts";
export type * from "./types.ts";
