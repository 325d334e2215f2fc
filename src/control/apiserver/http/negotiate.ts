// Which form of the answer a client asks for: the Accept header with its Kubernetes parameters `as`, `g`, `v`.
// After apiserver `endpoints/handlers/negotiation/negotiate.go`; clauses are weighed by q, then taken in their order.
import { notAcceptable } from "../status.ts";

type Encoding = "json" | "yaml";

/** How objects are shown: as they are, as table rows, or with nothing but their metadata. */
type Projection = "full" | "table" | "partial";

export interface MediaType {
  readonly encoding: Encoding;
  readonly projection: Projection;
  /** `v1` or `v1beta1` of meta.k8s.io, for tables and partial metadata. */
  readonly version: string;
}

export interface AcceptClause {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const ACCEPTED = ["application/json", "application/yaml"];
const PLAIN: MediaType = { encoding: "json", projection: "full", version: "v1" };
const PROJECTIONS: ReadonlyMap<string, Projection> = new Map([
  ["Table", "table"],
  ["PartialObjectMetadata", "partial"],
  ["PartialObjectMetadataList", "partial"],
]);

export function parseAccept(header: string): AcceptClause[] {
  const clauses = header.split(",").flatMap((text) => {
    const [type = "", ...rest] = text.split(";").map((part) => part.trim());
    if (type === "") return [];
    const parameters = new Map(rest.map((part) => splitParameter(part)));
    return [{ type: type.toLowerCase(), parameters, weight: Number(parameters.get("q") ?? 1) }];
  });
  return clauses.filter((c) => !(c.weight <= 0)).sort((a, b) => b.weight - a.weight);
}

function splitParameter(text: string): [string, string] {
  const at = text.indexOf("=");
  return at < 0
    ? [text, ""]
    : [
        text.slice(0, at).trim(),
        text
          .slice(at + 1)
          .trim()
          .replaceAll('"', ""),
      ];
}

const cache = new Map<string, MediaType>();

/** The form for an answer that holds objects. Throws NotAcceptable when no clause can be served. */
export function negotiate(accept: string | undefined): MediaType {
  if (accept === undefined || accept === "" || accept === "application/json" || accept === "*/*") return PLAIN;
  const known = cache.get(accept);
  if (known !== undefined) return known;
  const found = firstOf(parseAccept(accept));
  if (found === undefined) throw notAcceptable(ACCEPTED);
  // Clients send a handful of different headers; the bound is against those that would not.
  if (cache.size < 64) cache.set(accept, found);
  return found;
}

function firstOf(clauses: readonly AcceptClause[]): MediaType | undefined {
  for (const clause of clauses) {
    const encoding = encodingOf(clause.type);
    if (encoding === undefined) continue;
    const as = clause.parameters.get("as");
    if (as === undefined) return { ...PLAIN, encoding };
    const projection = PROJECTIONS.get(as);
    const version = clause.parameters.get("v") ?? "";
    const group = clause.parameters.get("g");
    if (projection !== undefined && group === "meta.k8s.io" && (version === "v1" || version === "v1beta1"))
      return { encoding, projection, version };
  }
  return undefined;
}

function encodingOf(type: string): Encoding | undefined {
  if (type === "application/json" || type === "*/*" || type === "application/*") return "json";
  return type === "application/yaml" ? "yaml" : undefined;
}
