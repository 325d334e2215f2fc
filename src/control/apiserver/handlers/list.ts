// Lists: pages of consistent state, filtered, in the form the client asked for.
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { apiVersionOf, type TableRow, tableOf } from "#kube";
import { type Entry, isStoreError, type Page } from "#store";
import type { ResourceCall } from "../http/call.ts";
import { type MediaType, negotiate } from "../http/negotiate.ts";
import { includeObjectOf, partialOf, sendDocument, warningHeaders } from "../http/respond.ts";
import { encodeContinue, inconsistentContinue, type ListOptions, parseListOptions } from "../registry/list-options.ts";
import { parseSelection, type Selection, selectedKey } from "../registry/select.ts";
import type { Registry, Served } from "../registry/types.ts";
import type { ApiObject, ObjectVersion } from "../registry/version.ts";
import { expired, tooLargeResourceVersion } from "../status.ts";

/** Objects looked at between two turns of the event loop: some 5 ms of parsing at the most. */
const BLOCK = 256;
const WRITE_BYTES = 256 * 1024;
const FUTURE_WAIT_MS = 3000;
const FUTURE_LOOK_MS = 100;

const CONTINUE_EXPIRED =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, " +
  "or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an " +
  "inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

export interface ListPage {
  readonly versions: readonly ObjectVersion[];
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string; readonly remainingItemCount?: number };
}

export async function handleList(call: ResourceCall): Promise<void> {
  const media = negotiate(call.req.headers.accept);
  const selection = parseSelection(call.served, call.path.namespace, call.query);
  const page = await readPage(call.registry, call.served, selection, parseListOptions(call.query));
  await sendPage(call, page, media);
}

export async function sendPage(call: ResourceCall, page: ListPage, media: MediaType): Promise<void> {
  if (media.projection === "full" && media.encoding === "json") return sendItems(call, page);
  if (media.projection === "table") return sendDocument(call, 200, await tableDocument(call, page, media), media.encoding);
  const { resource } = call.served;
  const objects = page.versions.map((version) => call.served.present(version).object);
  const isPartial = media.projection === "partial";
  const head = isPartial
    ? { kind: "PartialObjectMetadataList", apiVersion: `meta.k8s.io/${media.version}` }
    : { kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource) };
  const items = isPartial ? objects.map((object) => partialOf(object, media.version)) : objects;
  await sendDocument(call, 200, { ...head, metadata: page.metadata, items }, media.encoding);
}

/** Reads one page. Throws Expired, or Timeout for a version that does not come. */
export async function readPage(registry: Registry, served: Served, selection: Selection, options: ListOptions): Promise<ListPage> {
  if (options.resourceVersion !== undefined) await untilRevision(registry, options.resourceVersion);
  const key = options.continueAt === undefined ? selectedKey(served, selection) : undefined;
  const page =
    key === undefined || options.match === "Exact" ? listEntries(registry, served, selection, options) : oneEntry(registry, served, key);
  const versions: ObjectVersion[] = [];
  let last: Entry<ObjectVersion> | undefined;
  let looked = 0;
  for (const entry of page.entries) {
    if (options.limit !== undefined && versions.length === options.limit) break;
    looked++;
    last = entry;
    if (selection.everything || selection.matches(served.present(entry.value).object)) versions.push(entry.value);
    if (looked % BLOCK === 0 && !selection.everything) await nextTurn();
  }
  const resourceVersion = String(page.revision);
  const remaining = page.entries.length - looked;
  if (remaining === 0 || last === undefined) return { versions, metadata: { resourceVersion } };
  const token = encodeContinue(last.key, page.revision);
  // With a selector nobody knows how many of the rest match, so upstream leaves the number out.
  const count = selection.everything ? { remainingItemCount: remaining } : {};
  return { versions, metadata: { resourceVersion, continue: token, ...count } };
}

function listEntries(registry: Registry, served: Served, selection: Selection, options: ListOptions): Page<ObjectVersion> {
  const { continueAt } = options;
  const revision = continueAt === undefined ? (options.match === "Exact" ? options.resourceVersion : undefined) : continueAt.revision;
  try {
    return registry.store.list(served.table, { prefix: selection.prefix, after: continueAt?.after, revision });
  } catch (err) {
    if (!isStoreError(err, "Compacted")) throw err;
    if (continueAt !== undefined) throw expired(CONTINUE_EXPIRED, inconsistentContinue(continueAt));
    throw expired(`The resourceVersion for the provided list is too old: ${revision}`);
  }
}

function oneEntry(registry: Registry, served: Served, key: string): Page<ObjectVersion> {
  const entry = registry.store.get(served.table, key);
  return { entries: entry === undefined ? [] : [entry], remaining: 0, revision: registry.store.revision };
}

/** Waits a little for a version that other readers may have seen already. Throws Timeout with the cause that reflectors know. */
export async function untilRevision(registry: Registry, revision: number): Promise<void> {
  for (let waited = 0; registry.store.revision < revision; waited += FUTURE_LOOK_MS) {
    if (waited >= FUTURE_WAIT_MS) throw tooLargeResourceVersion(revision, registry.store.revision);
    await delay(FUTURE_LOOK_MS);
  }
}

/** Joins the JSON of the items without parsing or serialising any, in pieces, so that a large list holds up nobody. */
async function sendItems(call: ResourceCall, page: ListPage): Promise<void> {
  const { served, res } = call;
  const head = `{"kind":"${served.resource.kind}List","apiVersion":"${apiVersionOf(served.resource)}","metadata":${JSON.stringify(page.metadata)},"items":[`;
  const parts: Buffer[] = [Buffer.from(head, "utf8")];
  for (const [i, version] of page.versions.entries())
    parts.push(i === 0 ? OPEN : COMMA_OPEN, served.present(version).tail(served.headBytes));
  parts.push(END);
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  res.writeHead(200, {
    "content-type": "application/json",
    "content-length": length,
    "cache-control": "no-cache, private",
    ...warningHeaders(call.warnings),
  });
  if (call.req.method === "HEAD") return void res.end();
  let begin = 0;
  let size = 0;
  for (const [i, part] of parts.entries()) {
    size += part.length;
    if (size < WRITE_BYTES) continue;
    if (!res.write(Buffer.concat(parts.slice(begin, i + 1), size))) await drained(call);
    begin = i + 1;
    size = 0;
  }
  res.end(Buffer.concat(parts.slice(begin), size));
}

const OPEN = Buffer.from("{");
const COMMA_OPEN = Buffer.from(",{");
const END = Buffer.from("]}\n");

/** Resolves when the client has taken what was written, or is gone. */
export function drained({ res }: Pick<ResourceCall, "res">): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      res.off("drain", done);
      res.off("close", done);
      resolve();
    };
    res.on("drain", done);
    res.on("close", done);
    if (res.destroyed) done();
  });
}

async function tableDocument(call: ResourceCall, page: ListPage, media: MediaType): Promise<object> {
  const { served, registry } = call;
  const options = { now: registry.clock.now(), includeObject: includeObjectOf(call.query) };
  const rows: TableRow[] = [];
  for (let i = 0; i < page.versions.length; i += BLOCK) {
    if (i > 0) await nextTurn();
    const objects: ApiObject[] = page.versions.slice(i, i + BLOCK).map((version) => served.present(version).object);
    rows.push(...tableOf(served.resource, objects, options).rows);
  }
  const empty = tableOf(served.resource, [], options);
  return { ...empty, apiVersion: `meta.k8s.io/${media.version}`, metadata: page.metadata, rows };
}
