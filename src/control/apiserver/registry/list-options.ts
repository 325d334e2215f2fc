// The parameters of list and watch, and what contradicts what. After apimachinery `apis/meta/internalversion/validation/validation.go` and
// apiserver `storage/continue.go`.
import { badRequest, invalidOptions } from "../status.ts";

type VersionMatch = "Exact" | "NotOlderThan";

export interface ListOptions {
  readonly limit: number | undefined;
  readonly continueAt: ContinueToken | undefined;
  /** undefined: any recent state will do, which for us is the present one. */
  readonly resourceVersion: number | undefined;
  readonly match: VersionMatch | undefined;
}

export interface ContinueToken {
  /** undefined: go on with the present state, whatever was listed before. */
  readonly revision: number | undefined;
  readonly after: string;
}

function parseResourceVersion(text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`resourceVersion: Invalid value: "${text}": must be a number`);
  return Number(text);
}

export function parseListOptions(query: URLSearchParams): ListOptions {
  const match = parseMatch(query);
  const resourceVersion = parseResourceVersion(query.get("resourceVersion"));
  if (query.has("sendInitialEvents")) {
    throw invalidOptions("ListOptions", "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list");
  }
  const token = query.get("continue") ?? "";
  if (match !== undefined && token !== "") {
    throw invalidOptions("ListOptions", "resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden when continue is provided");
  }
  checkMatch(match, resourceVersion);
  if (token !== "" && resourceVersion !== undefined && resourceVersion !== 0) {
    throw badRequest("specifying resource version is not allowed when using continue");
  }
  const limit = parseLimit(query);
  // A list from "any version" is served whole, as the watch cache of kube-apiserver serves it.
  const ignoresLimit = resourceVersion === 0 && match === undefined && token === "";
  return {
    limit: ignoresLimit ? undefined : limit,
    continueAt: token === "" ? undefined : decodeContinue(token),
    resourceVersion: resourceVersion === 0 ? undefined : resourceVersion,
    match: match ?? (limit !== undefined && resourceVersion !== undefined && resourceVersion > 0 ? "Exact" : undefined),
  };
}

function checkMatch(match: VersionMatch | undefined, resourceVersion: number | undefined): void {
  const field = "resourceVersionMatch";
  if (match === undefined) return;
  if (resourceVersion === undefined) {
    throw invalidOptions("ListOptions", field, "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (match === "Exact" && resourceVersion === 0) {
    throw invalidOptions("ListOptions", field, 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
}

function parseMatch(query: URLSearchParams): VersionMatch | undefined {
  const match = query.get("resourceVersionMatch") ?? "";
  if (match === "") return undefined;
  if (match === "Exact" || match === "NotOlderThan") return match;
  const problem = `Unsupported value: "${match}": supported values: "Exact", "NotOlderThan"`;
  throw invalidOptions("ListOptions", "resourceVersionMatch", problem);
}

function parseLimit(query: URLSearchParams): number | undefined {
  const text = query.get("limit") ?? "";
  if (text === "" || text === "0") return undefined;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`limit: Invalid value: "${text}": must be a number that is not negative`);
  return Number(text);
}

export interface WatchOptions {
  readonly resourceVersion: number | undefined;
  /** true: the present objects first, then the bookmark that says so. */
  readonly sendInitialEvents: boolean | undefined;
  readonly bookmarks: boolean;
  readonly timeoutSeconds: number | undefined;
}

export function parseWatchOptions(query: URLSearchParams): WatchOptions {
  const match = parseMatch(query);
  const initial = query.get("sendInitialEvents");
  const field = "resourceVersionMatch";
  if (initial !== null && match !== "NotOlderThan") {
    throw invalidOptions("ListOptions", field, "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  }
  if (initial === null && match !== undefined) {
    throw invalidOptions(
      "ListOptions",
      field,
      "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    );
  }
  const timeout = query.get("timeoutSeconds") ?? "";
  return {
    resourceVersion: parseResourceVersion(query.get("resourceVersion")),
    sendInitialEvents: initial === null ? undefined : isYes(initial),
    bookmarks: isYes(query.get("allowWatchBookmarks")),
    timeoutSeconds: /^\d{1,9}$/.test(timeout) && timeout !== "0" ? Number(timeout) : undefined,
  };
}

function isYes(value: string | null): boolean {
  return value === "true" || value === "1";
}

/** Upstream's form of the token: clients treat it as opaque, tools decode it for logs. */
export function encodeContinue(after: string, revision: number): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: revision, start: `${after}\0` }), "utf8").toString("base64url");
}

export function inconsistentContinue(token: ContinueToken): string {
  return encodeContinue(token.after, -1);
}

function decodeContinue(text: string): ContinueToken {
  try {
    const token: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    if (typeof token === "object" && token !== null && "rv" in token && "start" in token) {
      const { rv, start } = token;
      if (typeof rv === "number" && typeof start === "string" && start !== "") {
        return { revision: rv < 0 ? undefined : rv, after: start.replace(/\0$/, "") };
      }
    }
  } catch {
    // Told below, as every other token that is not ours.
  }
  throw badRequest("continue key is not valid: it is not a token of this server");
}
