// The lines of a watch stream in each of the forms that a client may ask for.
import { apiVersionOf, tableOf } from "#kube";
import type { MediaType } from "../http/negotiate.ts";
import { partialOf } from "../http/respond.ts";
import type { Served } from "../registry/types.ts";
import type { ObjectVersion } from "../registry/version.ts";
import { type Change, type ChangeType, eventLine } from "./change.ts";

export interface LineEncoder {
  change(type: ChangeType, change: Change): Buffer;
  /** An object that is there when the watch begins. */
  initial(version: ObjectVersion): Buffer;
  bookmark(revision: number, initialEventsEnd: boolean): Buffer;
}

export interface EncoderOptions {
  readonly media: MediaType;
  readonly includeObject: "None" | "Metadata" | "Object";
  readonly now: () => number;
}

// apimachinery `meta/v1/types.go` InitialEventsAnnotationKey
const INITIAL_EVENTS_END = { "k8s.io/initial-events-end": "true" };

export function createEncoder(served: Served, options: EncoderOptions): LineEncoder {
  if (options.media.projection === "table") return tableEncoder(served, options);
  if (options.media.projection === "partial") return partialEncoder(options.media.version);
  const { kind } = served.resource;
  const apiVersion = apiVersionOf(served.resource);
  return {
    change: (type, change) => change.line(type),
    initial: (version) => eventLine("ADDED", version.json),
    bookmark: (revision, end) => line("BOOKMARK", { kind, apiVersion, metadata: bookmarkMetadata(revision, end) }),
  };
}

function bookmarkMetadata(revision: number, end: boolean): object {
  return { resourceVersion: String(revision), creationTimestamp: null, ...(end ? { annotations: INITIAL_EVENTS_END } : {}) };
}

function partialEncoder(version: string): LineEncoder {
  const encode = (type: string, shown: ObjectVersion | undefined): Buffer => line(type, partialOf(shown?.object ?? {}, version));
  return {
    change: (type, change) => encode(type, type === "DELETED" ? change.last : change.current),
    initial: (shown) => encode("ADDED", shown),
    bookmark: (revision, end) =>
      line("BOOKMARK", { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, metadata: bookmarkMetadata(revision, end) }),
  };
}

/** Columns come with the first line only (apiserver `endpoints/handlers/response.go`). */
function tableEncoder(served: Served, { media, includeObject, now }: EncoderOptions): LineEncoder {
  let withColumns = true;
  const encode = (type: string, versions: readonly ObjectVersion[], revision?: number): Buffer => {
    const resourceVersion = revision === undefined ? (versions[0]?.object.metadata.resourceVersion ?? "") : String(revision);
    const objects = versions.map((version) => version.object);
    const table = tableOf(served.resource, objects, { now: now(), includeObject, withColumns, resourceVersion });
    withColumns = false;
    return line(type, { ...table, apiVersion: `meta.k8s.io/${media.version}` });
  };
  const one = (version: ObjectVersion | undefined): ObjectVersion[] => (version === undefined ? [] : [version]);
  return {
    change: (type, change) => encode(type, one(type === "DELETED" ? change.last : change.current)),
    initial: (version) => encode("ADDED", [version]),
    bookmark: (revision) => encode("BOOKMARK", [], revision),
  };
}

export function line(type: string, object: object): Buffer {
  return eventLine(type, Buffer.from(JSON.stringify(object), "utf8"));
}
