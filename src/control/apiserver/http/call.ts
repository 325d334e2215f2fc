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
  return new WriteInProgress(call.registry, { user: call.user, dryRun, warnings: call.warnings, fieldManager: fieldManagerOf(call) });
}

/** The parameter, or the name that the client's program gives itself (apiserver `endpoints/handlers/create.go` managerOrUserAgent). */
function fieldManagerOf(call: Call): string {
  const asked = call.query.get("fieldManager") ?? "";
  return asked === "" ? ((call.req.headers["user-agent"] ?? "").split("/")[0] ?? "") || "unknown" : asked;
}

export function isWatch(query: URLSearchParams, path: ResourcePath): boolean {
  return path.watch || (query.has("watch") && isTrue(query.get("watch")));
}
