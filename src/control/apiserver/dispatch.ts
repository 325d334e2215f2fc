// From a request to its handler.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { formatKey } from "#kube";
import type { Authenticator } from "./auth/authenticate.ts";
import type { ServiceAccountTokens } from "./auth/service-account-tokens.ts";
import type { Catalog } from "./catalog.ts";
import type { Documents } from "./discovery/documents.ts";
import { answerOpenPath } from "./discovery/open-paths.ts";
import { answerOpenApiV2 } from "./discovery/openapi-v2.ts";
import { handleDelete, handleDeleteCollection } from "./handlers/delete.ts";
import { handleFinalize } from "./handlers/finalize.ts";
import { handleList } from "./handlers/list.ts";
import { handlePatch } from "./handlers/patch.ts";
import { handleBinding, handleEviction } from "./handlers/pods.ts";
import { handleReview } from "./handlers/reviews.ts";
import { handleScale } from "./handlers/scale.ts";
import { handleTokenRequest } from "./handlers/token.ts";
import { handleWatch } from "./handlers/watch.ts";
import { handleCreate, handleUpdate } from "./handlers/write.ts";
import { type Call, isWatch, type ObjectCall, type ResourceCall } from "./http/call.ts";
import { sendError, sendObject, sendText, sendVersion, toStatusError } from "./http/respond.ts";
import { parseResourcePath, type ResourcePath, verbOf } from "./http/route.ts";
import type { Registry } from "./registry/types.ts";
import { badRequest, methodNotSupported, notFound, type StatusError } from "./status.ts";
import { forwardUpgrade } from "./streams/forward.ts";
import { forwardLog, kubeletTarget, type PodConnection } from "./streams/kubelet.ts";
import { forwardProxy, proxyTarget } from "./streams/proxy.ts";
import type { Watches } from "./watch/watches.ts";

export interface DispatchOptions {
  readonly registry: Registry;
  readonly catalog: Catalog;
  readonly documents: Documents;
  readonly authenticator: Authenticator;
  readonly serviceAccounts: ServiceAccountTokens;
  readonly watches: Watches;
  /** What kubelets know us by. */
  readonly kubeletToken: string;
}

export class Dispatcher {
  readonly #options: DispatchOptions;

  constructor(options: DispatchOptions) {
    this.#options = options;
  }

  async request(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const warnings: string[] = [];
    // A client that goes away in the middle of its answer is no event; without a listener it would end the process.
    res.on("error", () => res.destroy());
    try {
      await this.#answer(req, res, warnings);
    } catch (err) {
      sendError(res, toStatusError(err, this.#options.registry.logger), warnings);
    }
  }

  /** Exec, attach, port-forward and proxied WebSockets: the connection is handed to the target. */
  async upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    try {
      const user = this.#options.authenticator.authenticate(req);
      const url = parseUrl(req);
      const path = parseResourcePath(url.pathname);
      const served = path === undefined ? undefined : this.#options.catalog.find(path);
      if (path?.name === undefined || served === undefined) throw badRequest(`${url.pathname} cannot be upgraded`);
      const call = { registry: this.#options.registry, query: url.searchParams, served, path, name: path.name, user };
      const connection = connectionOf(path);
      const target =
        connection === undefined
          ? proxyTarget(call, this.#options.kubeletToken)
          : kubeletTarget(call, connection, this.#options.kubeletToken);
      if (connection === undefined && path.subresource !== "proxy") throw badRequest(`${url.pathname} cannot be upgraded`);
      await forwardUpgrade(req, socket, head, target);
    } catch (err) {
      refuseUpgrade(socket, toStatusError(err, this.#options.registry.logger));
    }
  }

  async #answer(req: IncomingMessage, res: ServerResponse, warnings: string[]): Promise<void> {
    const { pathname, searchParams: query } = parseUrl(req);
    if (answerOpenPath(req, res, pathname)) return;
    const { registry, catalog, documents, authenticator, serviceAccounts } = this.#options;
    const user = authenticator.authenticate(req);
    const call: Call = { req, res, pathname, query, user, registry, warnings };
    if (documents.discovery(req, res, pathname)) return;
    if (pathname === "/") return sendObject(call, 200, rootPaths(catalog));
    if (pathname === "/openapi/v2") return answerOpenApiV2(req, res);
    if (pathname.startsWith("/openapi/v3")) return documents.openApi(req, res, pathname);
    if (pathname === "/openid/v1/jwks") return sendText(res, 200, JSON.stringify(serviceAccounts.keySet()));
    const path = parseResourcePath(pathname);
    if (path === undefined) return sendText(res, 404, "404 page not found\n");
    const served = catalog.find(path);
    if (served !== undefined && served.resource.version === path.version) return this.#resource({ ...call, served, path });
    const question = catalog.findQuestion(path.group, path.plural);
    if (question === undefined || question.resource.version !== path.version) return sendText(res, 404, "404 page not found\n");
    if (req.method !== "POST") throw methodNotSupported(question.resource, req.method?.toLowerCase() ?? "");
    if (question.resource.kind !== "Binding") return handleReview(call, question, authenticator);
    const pods = catalog.get({ group: "", plural: "pods" });
    return handleBinding({ ...call, served: pods, path });
  }

  async #resource(call: ResourceCall): Promise<void> {
    const { path, served, req } = call;
    if (path.name !== undefined && path.subresource !== undefined) return this.#subresource({ ...call, name: path.name });
    const verb = verbOf(req.method ?? "", path.name !== undefined, isWatch(call.query, path));
    if (verb === undefined || !served.verbs.includes(verb)) throw methodNotSupported(served.resource, req.method?.toLowerCase() ?? "");
    if (verb === "list") return handleList(call);
    if (verb === "watch") return handleWatch(call, this.#options.watches);
    if (verb === "create" && path.name === undefined) return handleCreate(call);
    if (verb === "deletecollection") return handleDeleteCollection(call);
    if (path.name === undefined) throw methodNotSupported(served.resource, req.method?.toLowerCase() ?? "");
    const named: ObjectCall = { ...call, name: path.name };
    if (verb === "get") return handleGet(named);
    if (verb === "update") return handleUpdate(named);
    if (verb === "patch") return handlePatch(named);
    if (verb === "delete") return handleDelete(named);
    throw methodNotSupported(served.resource, req.method?.toLowerCase() ?? "");
  }

  async #subresource(call: ObjectCall): Promise<void> {
    const { path, served, req, res } = call;
    const subresource = served.subresources.find((candidate) => candidate.name === path.subresource);
    if (subresource === undefined) return sendText(res, 404, "404 page not found\n");
    const { kubeletToken, serviceAccounts } = this.#options;
    // OPTIONS is no verb of the API: what it means is for the target to say.
    if (subresource.name === "proxy" && req.method === "OPTIONS") return forwardProxy(call, kubeletToken);
    const verb = verbOf(req.method ?? "", true, false);
    if (verb === undefined || !subresource.verbs.includes(verb)) throw methodNotSupported(served.resource, req.method?.toLowerCase() ?? "");
    switch (subresource.name) {
      case "scale":
        return handleScale(call);
      case "binding":
        return handleBinding(call, call.name);
      case "eviction":
        return handleEviction(call);
      case "finalize":
        return handleFinalize(call);
      case "token":
        return handleTokenRequest(call, serviceAccounts);
      case "proxy":
        return forwardProxy(call, kubeletToken);
      case "log":
        return forwardLog(
          call,
          kubeletTarget(call, { namespace: path.namespace ?? "", name: call.name, subresource: "log" }, kubeletToken),
        );
      case "exec":
      case "attach":
      case "portforward":
        throw badRequest("Upgrade request required");
      default:
        return part(call, subresource.name === "status" ? "status" : "main");
    }
  }
}

function part(call: ObjectCall, which: "status" | "main"): Promise<void> {
  if (call.req.method === "PUT") return handleUpdate(call, which);
  if (call.req.method === "PATCH") return handlePatch(call, which);
  return handleGet(call);
}

async function handleGet(call: ObjectCall): Promise<void> {
  const { served, registry, path, name } = call;
  const namespace = served.resource.namespaced ? path.namespace : undefined;
  const entry = registry.store.get(served.table, formatKey({ namespace, name }));
  if (entry === undefined) throw notFound(served.resource, name);
  await sendVersion(call, 200, entry.value);
}

function connectionOf(path: ResourcePath): PodConnection | undefined {
  const { namespace, name, plural, subresource } = path;
  if (plural !== "pods" || namespace === undefined || name === undefined) return undefined;
  if (subresource !== "exec" && subresource !== "attach" && subresource !== "portforward") return undefined;
  return { namespace, name, subresource };
}

/** What `kubectl get --raw /` shows. */
function rootPaths(catalog: Catalog): object {
  const groups = catalog.groupVersions().filter(({ group }) => group !== "");
  const below = groups.flatMap(({ group, version }) => [`/apis/${group}`, `/apis/${group}/${version}`]);
  return { paths: ["/api", "/api/v1", "/apis", ...below, "/healthz", "/livez", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"] };
}

function parseUrl(req: IncomingMessage): URL {
  const url = URL.parse(req.url ?? "/", "https://server");
  if (url === null) throw badRequest(`the path ${JSON.stringify(req.url)} is not a URL`);
  return url;
}

/** Before the connection is handed over an answer is still plain HTTP. */
function refuseUpgrade(socket: Duplex, err: StatusError): void {
  const body = JSON.stringify(err.status);
  socket.end(
    `HTTP/1.1 ${err.status.code} ${err.code}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
