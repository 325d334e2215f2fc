// A request's path and query as the API understands them. After apiserver `endpoints/request/requestinfo.go`.

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

/** What a path below `/api/v1` or `/apis/GROUP/VERSION` names. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  /** Absent for the collection. */
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  /** What follows `/proxy`, with its slash. */
  readonly rest: string;
  /** The deprecated `/watch/` prefix. */
  readonly watch: boolean;
}

const NAMESPACE_SUBRESOURCES: ReadonlySet<string> = new Set(["status", "finalize"]);

/** undefined when the path names no resource: discovery, health, or nothing. */
export function parseResourcePath(pathname: string): ResourcePath | undefined {
  const parts = pathname.split("/").slice(1);
  let group: string;
  if (parts[0] === "api") group = "";
  else if (parts[0] === "apis") group = parts[1] ?? "";
  else return undefined;
  const rest = parts.slice(group === "" ? 1 : 2).map(decode);
  const version = rest.shift();
  if (version === undefined || version === "") return undefined;
  const watch = rest[0] === "watch";
  if (watch) rest.shift();
  let namespace: string | undefined;
  if (rest[0] === "namespaces" && rest[2] !== undefined && !(rest[3] === undefined && NAMESPACE_SUBRESOURCES.has(rest[2]))) {
    namespace = rest[1];
    rest.splice(0, 2);
  }
  const [plural, name, subresource, ...more] = rest;
  if (plural === undefined || plural === "") return undefined;
  // The tail of a proxied path stays as it was sent, escapes included.
  const raw = parts.slice(parts.length - more.length);
  const tail = raw.map((part) => `/${part}`).join("");
  return { group, version, namespace, plural, name: name === "" ? undefined : name, subresource, rest: tail, watch };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function verbOf(method: string, named: boolean, watch: boolean): Verb | undefined {
  switch (method) {
    case "GET":
    case "HEAD":
      if (watch) return "watch";
      return named ? "get" : "list";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return named ? "delete" : "deletecollection";
    default:
      return undefined;
  }
}

/** Go's strconv.ParseBool, with absent and unreadable as false (upstream converts query values leniently). */
export function isTrue(value: string | null): boolean {
  return value !== null && (value === "" || /^(1|t|T|TRUE|true|True)$/.test(value));
}
