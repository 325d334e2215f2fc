// Objects and scenes in a few words, for tests.
import type { Pod, Service } from "kubernetes-types/core/v1";
import { parseAddr } from "#ip";
import type { KubeObject, Stored } from "#kube";
import type * as model from "#model";
import type { NodeReport } from "#observe";
import { addr, clientRouterServer } from "../../../core/model/testing/world.ts";
import type { Ask, ClusterObjects, Scene } from "../types.ts";

function stored<T extends KubeObject>(kind: string, name: string, namespace: string | undefined, rest: object): Stored<T> {
  const metadata = { name, uid: `uid-${name}`, resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" };
  return {
    apiVersion: "v1",
    kind,
    metadata: { ...metadata, ...(namespace !== undefined && { namespace }) },
    ...rest,
  } as unknown as Stored<T>;
}

export function podObject(
  key: string,
  ips: readonly string[],
  spec: object = {},
  labels: Readonly<Record<string, string>> = {},
): Stored<Pod> {
  const [namespace = "", name = ""] = key.split("/");
  const status = { phase: "Running", podIPs: ips.map((ip) => ({ ip })), podIP: ips[0] };
  const pod = stored<Pod>("Pod", name, namespace, { spec: { nodeName: "node-1", containers: [], ...spec }, status });
  return { ...pod, metadata: { ...pod.metadata, labels: { ...labels } } };
}

export function serviceObject(key: string, spec: object, status: object = {}): Stored<Service> {
  const [namespace = "", name = ""] = key.split("/");
  return stored("Service", name, namespace, { spec, status });
}

export function objectsOf(parts: Partial<ClusterObjects>): ClusterObjects {
  const nodes = ["node-1", "node-2"].map((name, i) =>
    stored<ClusterObjects["nodes"][number]>("Node", name, undefined, {
      status: { addresses: [{ type: "InternalIP", address: `172.18.0.1${i + 1}` }] },
    }),
  );
  const namespaces = ["default", "shop"].map((name) => stored<ClusterObjects["namespaces"][number]>("Namespace", name, undefined, {}));
  return { pods: [], services: [], slices: [], nodes, namespaces, networkPolicies: [], clusterNetworkPolicies: [], ...parts };
}

/** `client` asks `server` at 10.0.2.2:80, over `router`. */
export function askServer(more: Partial<Ask> = {}): Ask {
  return {
    from: { text: "client", place: { kind: "node", name: "client" }, namespace: "client" },
    protocol: "tcp",
    dst: parseAddr("10.0.2.2"),
    dstPort: 80,
    to: { kind: "address" },
    text: "10.0.2.2:80/tcp",
    ...more,
  };
}

const WEB: model.Listener = { protocol: 6, port: 80, name: "web" };

/** With one report that tells of all namespaces. */
export function sceneOf(parts: Parameters<typeof clientRouterServer>[0], more: Partial<Scene> = {}): Scene {
  const namespaces = clientRouterServer({ ...parts, server: { listeners: [WEB], ...parts?.server } });
  return { objects: objectsOf({}), state: { namespaces }, reports: [reportOf(namespaces)], ask: askServer(), ...more };
}

export function reportOf(namespaces: readonly model.Namespace[], conntrack = { count: 0, max: 0 }): NodeReport {
  const observed = namespaces.map((state, i) => ({
    role: "node" as const,
    inode: i,
    state,
    ends: [],
    conntrack,
    sockets: (state.listeners ?? []).map(() => ({ pid: 7, command: "server" })),
  }));
  return { node: "node-1", timeMs: 0, machine: "m", namespaces: observed, problems: [] };
}

export { addr };
