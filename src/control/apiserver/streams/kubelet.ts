// The way to the kubelet of a pod's node: logs, exec, attach, port-forward. Paths and parameters are the kubelet's own (`pkg/kubelet/server`).
import type { Node, Pod } from "kubernetes-types/core/v1";
import { NODES, PODS } from "#kube";
import type { Call } from "../http/call.ts";
import { headObject } from "../registry/access.ts";
import type { Registry } from "../registry/types.ts";
import { badRequest, internalError, notFound, StatusError } from "../status.ts";
import { forwardRequest, type Target } from "./forward.ts";

const KUBELET_PORT = 10250;
const MAX_ERROR_BYTES = 64 * 1024;
const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

export interface PodConnection {
  readonly namespace: string;
  readonly name: string;
  readonly subresource: "log" | "exec" | "attach" | "portforward";
}

/** Where the kubelet serves this of the pod. `token`: what the kubelet knows us by. */
export function kubeletTarget(call: Pick<Call, "registry" | "query">, connection: PodConnection, token: string): Target {
  const { namespace, name, subresource } = connection;
  const pod = headObject(call.registry, PODS, { namespace, name });
  if (pod === undefined) throw notFound(PODS, name);
  const node = pod.spec?.nodeName ?? "";
  if (node === "") throw badRequest(`pod ${name} does not have a host assigned`);
  const query = new URLSearchParams(call.query);
  query.delete("container");
  const container = subresource === "portforward" ? "" : `/${encodeURIComponent(chooseContainer(pod, call.query.get("container") ?? ""))}`;
  if (subresource === "exec" || subresource === "attach") addStreamNames(query);
  const root = { log: "containerLogs", exec: "exec", attach: "attach", portforward: "portForward" }[subresource];
  const path = `/${root}/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}${container}`;
  return {
    ...nodeAddress(call.registry, node),
    path: `${path}?${query.toString()}`,
    tls: false,
    headers: { authorization: `Bearer ${token}` },
  };
}

/** The kubelet calls the streams otherwise than the API does (`pkg/kubelet/server/remotecommand`). */
function addStreamNames(query: URLSearchParams): void {
  for (const [ours, theirs] of [
    ["stdin", "input"],
    ["stdout", "output"],
    ["stderr", "error"],
    ["tty", "tty"],
  ] as const) {
    const value = query.get(ours);
    if (value === "true" || value === "1") query.set(theirs, "1");
  }
}

function chooseContainer(pod: Pod, asked: string): string {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const podName = pod.metadata?.name ?? "";
  const names = [...containers, ...initContainers, ...ephemeralContainers].map((container) => container.name);
  if (asked !== "") {
    if (!names.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${podName}`);
    return asked;
  }
  const annotated = pod.metadata?.annotations?.[DEFAULT_CONTAINER];
  if (annotated !== undefined && names.includes(annotated)) return annotated;
  const [only] = containers;
  if (containers.length === 1 && only !== undefined) return only.name;
  const choices = containers.map((container) => container.name).join(" ");
  const init =
    initContainers.length === 0 ? "" : ` or one of the init containers: [${initContainers.map((container) => container.name).join(" ")}]`;
  throw badRequest(`a container name must be specified for pod ${podName}, choose one of: [${choices}]${init}`);
}

export function nodeAddress(registry: Registry, name: string): { host: string; port: number } {
  const node = headObject(registry, NODES, { name });
  if (node === undefined) throw notFound(NODES, name);
  const host = internalAddress(node);
  if (host === undefined) throw internalError(`node ${name} has no address yet`);
  return { host, port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? KUBELET_PORT };
}

function internalAddress(node: Node): string | undefined {
  const addresses = node.status?.addresses ?? [];
  return addresses.find((address) => address.type === "InternalIP")?.address ?? addresses[0]?.address;
}

/** Streams the log. What the kubelet refuses is told as a Status with its words. */
export async function forwardLog(call: Call, target: Target): Promise<void> {
  await forwardRequest(call.req, call.res, target, {
    async onResponse(response) {
      const code = response.statusCode ?? 502;
      if (code < 400) return;
      let text = "";
      for await (const chunk of response as AsyncIterable<Buffer>) {
        text += chunk.toString("utf8");
        if (text.length > MAX_ERROR_BYTES) break;
      }
      const message = text.trim() === "" ? `the kubelet answered ${code}` : text.trim();
      throw new StatusError(code, reasonOf(code), message);
    },
  });
}

function reasonOf(code: number): string {
  if (code === 400) return "BadRequest";
  if (code === 404) return "NotFound";
  return code >= 500 ? "InternalError" : "Unknown";
}
