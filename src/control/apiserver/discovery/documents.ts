// Documents that change only with the program: discovery and OpenAPI. Each is made when first asked for, hashed, and answered with 304 to
// those who have it.
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { type ApiResource, openApiDocument, openApiIndex } from "#kube/schema";
import { parseAccept } from "../http/negotiate.ts";
import { sendText } from "../http/respond.ts";
import { aggregatedDiscovery, type DiscoveryVersion } from "./aggregated.ts";
import { apiGroup, apiGroupList, apiResourceList, apiVersions } from "./legacy.ts";

interface Document {
  readonly body: Buffer;
  readonly etag: string;
}

export interface DocumentsOptions {
  readonly resources: readonly ApiResource[];
  readonly groupVersions: readonly { group: string; version: string }[];
  /** `172.18.0.1:6443`, told by `/api`. */
  readonly serverAddress: string;
}

const PLAIN = "application/json";

export class Documents {
  readonly #options: DocumentsOptions;
  readonly #documents = new Map<string, Document>();
  /** Documents of OpenAPI are large and read rarely: they are kept compressed. */
  readonly #openApi = new Map<string, { readonly zipped: Buffer; readonly hash: string }>();

  constructor(options: DocumentsOptions) {
    this.#options = options;
  }

  /** Answers `/api`, `/apis` and what is below them down to the group version. false: the path is not one of these. */
  discovery(req: IncomingMessage, res: ServerResponse, pathname: string): boolean {
    const parts = pathname.split("/").filter((part) => part !== "");
    if (parts[0] === "api" && parts.length === 1) return this.#root(req, res, true);
    if (parts[0] === "apis" && parts.length === 1) return this.#root(req, res, false);
    const { resources } = this.#options;
    let make: (() => object | undefined) | undefined;
    if (parts[0] === "api" && parts.length === 2) make = () => apiResourceList(resources, "", parts[1] ?? "");
    else if (parts[0] === "apis" && parts.length === 2) make = () => apiGroup(resources, parts[1] ?? "");
    else if (parts[0] === "apis" && parts.length === 3) make = () => apiResourceList(resources, parts[1] ?? "", parts[2] ?? "");
    if (make === undefined) return false;
    const document = this.#document(pathname, make);
    if (document === undefined) sendText(res, 404, "404 page not found\n");
    else send(req, res, document, PLAIN);
    return true;
  }

  #root(req: IncomingMessage, res: ServerResponse, core: boolean): true {
    const { resources, serverAddress } = this.#options;
    res.setHeader("vary", "Accept");
    const version = aggregatedVersion(req.headers.accept ?? "");
    const path = core ? "/api" : "/apis";
    if (version === undefined) {
      const document = this.#document(path, () => (core ? apiVersions(serverAddress) : apiGroupList(resources)));
      if (document !== undefined) send(req, res, document, PLAIN);
      return true;
    }
    const document = this.#document(`${path}?${version}`, () => aggregatedDiscovery(resources, version, core));
    // Clients compare this type word by word (client-go `discovery/discovery_client.go`).
    if (document !== undefined) send(req, res, document, `${PLAIN};g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`);
    return true;
  }

  /** Answers what is below `/openapi`. */
  async openApi(req: IncomingMessage, res: ServerResponse, pathname: string): Promise<void> {
    if (pathname === "/openapi/v3") {
      for (const groupVersion of this.#options.groupVersions) await this.#openApiOf(groupVersion);
      const index = openApiIndex(this.#options.groupVersions, (gv) => this.#openApi.get(openApiPath(gv))?.hash ?? "");
      const document = this.#document(pathname, () => index);
      if (document !== undefined) send(req, res, document, PLAIN);
      return;
    }
    const path = pathname.replace(/^\/openapi\/v3\//, "");
    const groupVersion = this.#options.groupVersions.find((gv) => openApiPath(gv) === path);
    if (groupVersion === undefined) return sendText(res, 404, "404 page not found\n");
    const { zipped, hash } = await this.#openApiOf(groupVersion);
    const asked = new URL(req.url ?? "", "https://server").searchParams.get("hash");
    if (asked !== null && asked !== hash) {
      // The address with the hash is cached for good, so an old hash must not get the new document (kube-openapi `handler3`).
      res.writeHead(301, { location: `${pathname}?hash=${hash}`, "content-length": 0 });
      res.end();
      return;
    }
    const cacheControl = asked === null ? "no-cache, private" : "public, immutable, max-age=31536000";
    res.setHeader("vary", "Accept, Accept-Encoding");
    sendZipped(req, res, { zipped, etag: `"${hash}"`, cacheControl });
  }

  async #openApiOf(groupVersion: { group: string; version: string }): Promise<{ zipped: Buffer; hash: string }> {
    const path = openApiPath(groupVersion);
    const known = this.#openApi.get(path);
    if (known !== undefined) return known;
    await nextTurn();
    const json = JSON.stringify(openApiDocument(groupVersion, this.#options.resources));
    const made = { zipped: gzipSync(json, { level: 1 }), hash: hashOf(json) };
    this.#openApi.set(path, made);
    return made;
  }

  #document(key: string, make: () => object | undefined): Document | undefined {
    const known = this.#documents.get(key);
    if (known !== undefined) return known;
    const value = make();
    if (value === undefined) return undefined;
    const body = Buffer.from(JSON.stringify(value), "utf8");
    const document = { body, etag: `"${hashOf(body)}"` };
    this.#documents.set(key, document);
    return document;
  }
}

function hashOf(text: string | Buffer): string {
  return createHash("sha512").update(text).digest("hex").slice(0, 64).toUpperCase();
}

function openApiPath({ group, version }: { group: string; version: string }): string {
  return group === "" ? `api/${version}` : `apis/${group}/${version}`;
}

/** undefined: the client wants, or knows, the old form only. */
function aggregatedVersion(accept: string): DiscoveryVersion | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type !== PLAIN) continue;
    const version = parameters.get("v");
    if (parameters.get("as") === undefined) return undefined;
    if (parameters.get("g") === "apidiscovery.k8s.io" && (version === "v2" || version === "v2beta1")) return version;
  }
  return undefined;
}

function send(req: IncomingMessage, res: ServerResponse, { body, etag }: Document, type: string): void {
  if (req.headers["if-none-match"] === etag) {
    res.writeHead(304, { etag });
    res.end();
    return;
  }
  res.writeHead(200, { "content-type": type, "content-length": body.length, etag, "cache-control": "public" });
  res.end(req.method === "HEAD" ? undefined : body);
}

interface Zipped {
  readonly zipped: Buffer;
  readonly etag: string;
  readonly cacheControl: string;
}

function sendZipped(req: IncomingMessage, res: ServerResponse, { zipped, etag, cacheControl }: Zipped): void {
  if (req.headers["if-none-match"] === etag) {
    res.writeHead(304, { etag });
    res.end();
    return;
  }
  const takesGzip = /\bgzip\b/.test(String(req.headers["accept-encoding"] ?? ""));
  const body = takesGzip ? zipped : gunzipSync(zipped);
  res.writeHead(200, {
    "content-type": PLAIN,
    "content-length": body.length,
    etag,
    "cache-control": cacheControl,
    ...(takesGzip ? { "content-encoding": "gzip" } : {}),
  });
  res.end(req.method === "HEAD" ? undefined : body);
}
