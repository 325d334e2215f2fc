// The proxy subresource of pods, services and nodes: HTTP passed on to a port of theirs. After apimachinery `util/proxy/upgradeaware.go`
// and `pkg/registry/core/{pod,service,node}`.
import { randomInt } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { ENDPOINT_SLICES, PODS, SERVICES } from "#kube";
import type { ObjectCall } from "../http/call.ts";
import { headObject, listObjects } from "../registry/access.ts";
import type { Registry } from "../registry/types.ts";
import { badRequest, notFound, serviceUnavailable } from "../status.ts";
import { forwardRequest, hostHeader, type Target } from "./forward.ts";
import { htmlLinkStream, linkMap } from "./html-links.ts";
import { nodeAddress } from "./kubelet.ts";

/** `[https:]name[:port]`. */
interface ProxyName {
  readonly scheme: string;
  readonly name: string;
  readonly port: string;
}

function parseProxyName(text: string): ProxyName {
  const parts = text.split(":");
  const [first = "", second = "", third = ""] = parts;
  if (parts.length === 1) return { scheme: "http", name: first, port: "" };
  if (parts.length === 2) return { scheme: "http", name: first, port: second };
  if (parts.length === 3 && (first === "http" || first === "https" || first === ""))
    return { scheme: first === "" ? "http" : first, name: second, port: third };
  throw badRequest(`invalid proxy request "${text}": must be [scheme:]name[:port]`);
}

export function proxyTarget(call: Pick<ObjectCall, "registry" | "served" | "path" | "name" | "query">, kubeletToken: string): Target {
  const { registry, served, path } = call;
  const parsed = parseProxyName(call.name);
  const namespace = path.namespace ?? "";
  const rest = path.rest === "" ? "/" : path.rest;
  const search = call.query.size === 0 ? "" : `?${call.query.toString()}`;
  const base = { path: `${rest}${search}`, tls: parsed.scheme === "https", headers: {} };
  switch (served.resource.plural) {
    case "pods":
      return { ...base, ...podAddress(registry, namespace, parsed) };
    case "services":
      return { ...base, ...serviceAddress(registry, namespace, parsed) };
    default: {
      const { host, port } = nodeAddress(registry, parsed.name);
      const isKubelet = parsed.port === "" || Number(parsed.port) === port;
      const headers: Record<string, string> = isKubelet ? { authorization: `Bearer ${kubeletToken}` } : {};
      return { ...base, headers, host, port: isKubelet ? port : portNumber(parsed.port) };
    }
  }
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65535) throw badRequest(`invalid port "${text}"`);
  return port;
}

function podAddress(registry: Registry, namespace: string, { name, port }: ProxyName): { host: string; port: number } {
  const pod = headObject(registry, PODS, { namespace, name });
  if (pod === undefined) throw notFound(PODS, name);
  const host = pod.status?.podIP;
  if (host === undefined) throw badRequest(`address not allowed: pod ${name} has no address yet`);
  const ports = pod.spec?.containers.flatMap((container) => container.ports ?? []) ?? [];
  if (port === "") return { host, port: ports[0]?.containerPort ?? 80 };
  const named = ports.find((candidate) => candidate.name === port)?.containerPort;
  return { host, port: named ?? portNumber(port) };
}

function serviceAddress(registry: Registry, namespace: string, { name, port }: ProxyName): { host: string; port: number } {
  const service = headObject(registry, SERVICES, { namespace, name });
  if (service === undefined) throw notFound(SERVICES, name);
  const ports = service.spec?.ports ?? [];
  const wanted = port === "" ? (ports.length === 1 ? ports[0] : undefined) : ports.find((p) => p.name === port || String(p.port) === port);
  if (wanted === undefined) throw serviceUnavailable(`no service port "${port}" found for service "${name}"`);
  const ready = listObjects(registry, ENDPOINT_SLICES, namespace)
    .filter((slice) => slice.metadata.labels?.["kubernetes.io/service-name"] === name)
    .flatMap((slice) => addressesOf(slice, wanted.name ?? ""));
  const chosen = ready[ready.length === 0 ? 0 : randomInt(ready.length)];
  if (chosen === undefined) throw serviceUnavailable(`no endpoints available for service "${name}"`);
  return chosen;
}

function addressesOf(slice: EndpointSlice, portName: string): { host: string; port: number }[] {
  const port = slice.ports?.find((candidate) => (candidate.name ?? "") === portName)?.port;
  if (port === undefined) return [];
  const ready = slice.endpoints.filter((endpoint) => endpoint.conditions?.ready !== false);
  return ready.flatMap((endpoint) => endpoint.addresses.map((host) => ({ host, port })));
}

/** Answers the request through the target. `prefix`: our path up to `/proxy`, put before what redirects name. */
export async function forwardProxy(call: ObjectCall, kubeletToken: string): Promise<void> {
  const { req, res, path } = call;
  const isRead = req.method === "GET" || req.method === "HEAD";
  if (path.rest === "" && isRead) {
    const search = call.query.size === 0 ? "" : `?${call.query.toString()}`;
    // Relative links of the page behind must resolve below it.
    res.writeHead(301, { location: `${call.pathname}/${search}`, "content-length": 0 });
    res.end();
    return;
  }
  const target = proxyTarget(call, kubeletToken);
  const prefix = call.pathname.slice(0, call.pathname.length - path.rest.length);
  await forwardRequest(req, res, target, {
    onResponse(_, headers) {
      if (headers.location !== undefined) headers.location = rewriteLocation(headers.location, target, prefix);
    },
    bodyStreams: (headers) => (req.method === "HEAD" ? Promise.resolve([]) : linkStreams(req, headers, { target, prefix })),
  });
}

/** Pages are passed back with their links leading to the same place below our path; what they are compressed with, they stay so. */
async function linkStreams(
  req: IncomingMessage,
  headers: IncomingHttpHeaders,
  { target, prefix }: { readonly target: Target; readonly prefix: string },
): Promise<Duplex[]> {
  if (!/^text\/html\b/i.test(headers["content-type"] ?? "")) return [];
  const encoding = headers["content-encoding"] ?? "identity";
  const compressed = encoding === "gzip" || encoding === "deflate";
  if (!compressed && encoding !== "identity") return [];
  delete headers["content-length"];
  const links = htmlLinkStream(linkMap(prefix, new Set([hostHeader(target), req.headers.host ?? ""])));
  if (!compressed) return [links];
  const zlib = await import("node:zlib");
  return encoding === "gzip" ? [zlib.createGunzip(), links, zlib.createGzip()] : [zlib.createInflate(), links, zlib.createDeflate()];
}

/** A redirect to the target itself is a redirect to the same place below our path. */
function rewriteLocation(location: string, target: Target, prefix: string): string {
  const origin = `${target.tls ? "https" : "http"}://${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}`;
  const url = URL.parse(location, `${origin}${target.path}`);
  if (url === null || url.host !== new URL(origin).host) return location;
  return `${prefix}${url.pathname}${url.search}${url.hash}`;
}
