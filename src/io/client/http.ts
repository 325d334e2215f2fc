import type { IncomingMessage } from "node:http";
import { apiVersionOf, formatKey, type KubeObject, type ObjectKey, type Resource, resourcePath, type Stored } from "#kube";
import type { ClientConfig } from "./config.ts";
import { decodeList, decodeObject, type ListPage } from "./decode.ts";
import { ApiError } from "./errors.ts";
import { apiError, createTransport, type HttpRequest, type HttpResponse, type Transport } from "./transport.ts";
import type { Client, DeleteOptions, ListOptions, ListResult, Patch, PatchType, WatchEvent, WatchOptions, WriteOptions } from "./types.ts";
import { readWatch } from "./watch.ts";

/** The client over HTTP, with the door for what has no typed call: tables, discovery, logs, `get --raw`. */
export interface HttpClient extends Client {
  /** Whatever the status: the whole answer. */
  raw(request: HttpRequest): Promise<HttpResponse>;
  /** A 2xx answer as it arrives; ApiError otherwise. */
  stream(request: HttpRequest): Promise<IncomingMessage>;
  /** Closes the kept connections; calls and watches that run fail. */
  close(): void;
}

const PAGE_SIZE = 500;

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  // JSON is YAML.
  apply: "application/apply-patch+yaml",
};

export function createHttpClient(config: ClientConfig): HttpClient {
  const transport = createTransport(config);
  const call = async <T extends KubeObject>(request: HttpRequest): Promise<Stored<T>> =>
    decodeObject<T>(await expectOk(transport, request));
  const watches = { listFirst: false };
  return {
    get: (resource, key, options = {}) =>
      call({ method: "GET", path: pathOf(resource, key), op: `get ${resource.plural} ${formatKey(key)}`, signal: options.signal }),
    list: (resource, options = {}) => list(transport, resource, options),
    create: (resource, object, options = {}) => call(createRequest(resource, object, options)),
    update: (resource, object, options = {}) => call(updateRequest(resource, object, options)),
    patch: (resource, key, patch, options = {}) => call(patchRequest(resource, key, patch, options)),
    async delete(resource, key, options = {}) {
      await expectOk(transport, deleteRequest(resource, key, options));
    },
    watch: (resource, options = {}) => watch(transport, watches, resource, options),
    raw: (request) => transport.send(request),
    stream: (request) => transport.open(request),
    close: () => transport.close(),
  };
}

async function expectOk(transport: Transport, request: HttpRequest): Promise<Buffer> {
  const response = await transport.send(request);
  if (response.status < 200 || response.status > 299) throw apiError(request.op, response.status, response.body);
  return response.body;
}

function pathOf(resource: Resource, key: ObjectKey, subresource?: string): string {
  return resourcePath(resource, { namespace: key.namespace ?? "default", name: key.name }, subresource);
}

function query(path: string, params: Readonly<Record<string, string | undefined>>): string {
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined) pairs.push(`${name}=${encodeURIComponent(value)}`);
  }
  return pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
}

function writeParams(options: WriteOptions): Record<string, string | undefined> {
  return {
    dryRun: options.dryRun === true ? "All" : undefined,
    fieldValidation: options.fieldValidation,
    fieldManager: options.fieldManager,
  };
}

function withType<T extends KubeObject>(resource: Resource<T>, object: T): T {
  return object.kind === undefined || object.apiVersion === undefined
    ? { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind }
    : object;
}

function createRequest<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions): HttpRequest {
  const namespace = resource.namespaced ? (object.metadata?.namespace ?? "default") : undefined;
  const name = object.metadata?.name;
  const path =
    options.subresource === undefined || name === undefined
      ? resourcePath(resource, { namespace })
      : resourcePath(resource, { namespace, name }, options.subresource);
  return {
    method: "POST",
    path: query(path, writeParams(options)),
    op: `create ${resource.plural} ${formatKey({ namespace, name: name ?? `${object.metadata?.generateName ?? ""}*` })}`,
    body: withType(resource, object),
    signal: options.signal,
  };
}

function updateRequest<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions): HttpRequest {
  const key = { namespace: object.metadata?.namespace, name: object.metadata?.name ?? "" };
  return {
    method: "PUT",
    path: query(pathOf(resource, key, options.subresource), writeParams(options)),
    op: `update ${resource.plural} ${formatKey(key)}`,
    body: withType(resource, object),
    signal: options.signal,
  };
}

function patchRequest(resource: Resource, key: ObjectKey, patch: Patch, options: WriteOptions): HttpRequest {
  const apply = patch.type === "apply" ? { fieldManager: options.fieldManager ?? "fairlead", force: "true" } : {};
  return {
    method: "PATCH",
    path: query(pathOf(resource, key, options.subresource), { ...writeParams(options), ...apply }),
    op: `patch ${resource.plural} ${formatKey(key)}`,
    body: patch.body,
    contentType: PATCH_TYPES[patch.type],
    signal: options.signal,
  };
}

function deleteRequest(resource: Resource, key: ObjectKey, options: DeleteOptions): HttpRequest {
  const preconditions = { uid: options.uid, resourceVersion: options.resourceVersion };
  return {
    method: "DELETE",
    path: pathOf(resource, key),
    op: `delete ${resource.plural} ${formatKey(key)}`,
    body: {
      apiVersion: "v1",
      kind: "DeleteOptions",
      gracePeriodSeconds: options.gracePeriodSeconds,
      propagationPolicy: options.propagationPolicy,
      preconditions: options.uid === undefined && options.resourceVersion === undefined ? undefined : preconditions,
    },
    signal: options.signal,
  };
}

function listParams(options: ListOptions): Record<string, string | undefined> {
  return { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector };
}

async function list<T extends KubeObject>(transport: Transport, resource: Resource<T>, options: ListOptions): Promise<ListResult<T>> {
  const path = resourcePath(resource, { namespace: options.namespace });
  const items: Stored<T>[] = [];
  let token: string | undefined;
  for (;;) {
    const page: ListPage<T> = decodeList(
      resource,
      await expectOk(transport, {
        method: "GET",
        path: query(path, { ...listParams(options), limit: String(PAGE_SIZE), continue: token }),
        op: `list ${resource.plural}`,
        signal: options.signal,
      }),
    );
    for (const item of page.items) items.push(item);
    if (page.continueToken === "") return { items, resourceVersion: page.resourceVersion };
    token = page.continueToken;
  }
}

interface WatchMode {
  /** The server knows no WatchList (Kubernetes before 1.32 unless its gate is set). */
  listFirst: boolean;
}

async function* watch<T extends KubeObject>(
  transport: Transport,
  mode: WatchMode,
  resource: Resource<T>,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>> {
  const op = `watch ${resource.plural}`;
  const open = (start: Readonly<Record<string, string>>): Promise<IncomingMessage> => {
    const params = { watch: "true", allowWatchBookmarks: "true", ...listParams(options), ...start };
    const path = query(resourcePath(resource, { namespace: options.namespace }), params);
    return transport.open({ method: "GET", path, op, signal: options.signal });
  };
  try {
    let start: Readonly<Record<string, string>> = WATCH_LIST;
    let response: IncomingMessage | undefined;
    if (options.resourceVersion !== undefined) start = { resourceVersion: options.resourceVersion };
    else if (!mode.listFirst) response = await openWatchList(open);
    if (response === undefined && start === WATCH_LIST) {
      const { items, resourceVersion } = await list(transport, resource, options);
      // Only now is it known that the refusal was about WatchList and not about the resource.
      mode.listFirst = true;
      for (const object of items) yield { type: "ADDED", object };
      yield { type: "BOOKMARK", resourceVersion, initialEventsEnd: true };
      start = { resourceVersion };
    }
    yield* readWatch(resource, response ?? (await open(start)), op, options.signal);
  } catch (err) {
    if (options.signal?.aborted !== true) throw err;
  }
}

const WATCH_LIST: Readonly<Record<string, string>> = { sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan" };

async function openWatchList(
  open: (start: Readonly<Record<string, string>>) => Promise<IncomingMessage>,
): Promise<IncomingMessage | undefined> {
  try {
    return await open(WATCH_LIST);
  } catch (err) {
    if (refusesWatchList(err)) return undefined;
    throw err;
  }
}

// As client-go's reflector decides (`tools/cache/reflector.go`): not for expired versions, throttling and missing credentials.
function refusesWatchList(err: unknown): boolean {
  if (!(err instanceof ApiError)) return false;
  const code = err.status.code;
  return code >= 400 && code < 500 && code !== 401 && code !== 410 && code !== 429;
}
