import type { IncomingMessage, ServerResponse } from "node:http";
import type { Registry, Served, User } from "../registry/types.ts";
import { WriteInProgress } from "../registry/write.ts";
import { badRequest } from "../status.ts";
import { isTrue, type ResourcePath } from "./route.ts";

/** A request that passed authentication. */
export interface Call {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly pathname: string;
  readonly query: URLSearchParams;
  readonly user: User;
  readonly registry: Registry;
  /** Sent as Warning headers. */
  readonly warnings: string[];
}

/** A call to a resource that the server serves. */
export interface ResourceCall extends Call {
  readonly served: Served;
  readonly path: ResourcePath;
}

/** A call to one object, or to a subresource of it. */
export interface ObjectCall extends ResourceCall {
  readonly name: string;
}

export function isDryRun(query: URLSearchParams): boolean {
  const values = query.getAll("dryRun").filter((value) => value !== "");
  const wrong = values.find((value) => value !== "All");
  if (wrong !== undefined) throw badRequest(`dryRun: Unsupported value: "${wrong}": supported values: "All"`);
  return values.length > 0;
}

export function writeOf(call: Call, dryRun: boolean = isDryRun(call.query)): WriteInProgress {
  return new WriteInProgress(call.registry, { user: call.user, dryRun, warnings: call.warnings });
}

export function isWatch(query: URLSearchParams, path: ResourcePath): boolean {
  return path.watch || (query.has("watch") && isTrue(query.get("watch")));
}

/** Aborts when the client has gone away. */
export function goneSignal(call: Call): AbortSignal {
  const controller = new AbortController();
  call.res.once("close", () => controller.abort());
  return controller.signal;
}
