/** The Kubernetes API over TLS: discovery, REST, watch, tables, OpenAPI. */
export { parseTokenFile } from "./auth/token-file.ts";
export type { User } from "./registry/types.ts";
export { type ObjectVersion, VERSION_CODEC } from "./registry/version.ts";
export { type ApiServer, type ApiServerOptions, startApiServer } from "./server.ts";
export type { PortRange } from "./services/port-allocator.ts";
