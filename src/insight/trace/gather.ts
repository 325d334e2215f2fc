// The ways to the observers of a cluster: each node's, by its kubelet's debug pages, and a sandbox's own. Reads what kernels hold.
import { createInterface } from "node:readline";
import { errorMessage, FairleadError } from "#base";
import { type HttpClient, isNotFound } from "#client";
import {
  CLUSTER_NETWORK_POLICIES,
  ENDPOINT_SLICES,
  type KubeObject,
  NAMESPACES,
  NETWORK_POLICIES,
  NODES,
  PODS,
  type Resource,
  SERVICES,
  type Stored,
} from "#kube";
import { decodeReport, type NodeReport } from "#observe";
import type { ServiceReport } from "#proxy";
import type { ClusterObjects } from "./types.ts";

/** The others are told of although one node hangs. */
const ANSWER_MS = 10_000;

/** The name by which a sandbox tells of what belongs to no node. */
export const SANDBOX = "sandbox";

/** Whoever observes the namespaces of one node. Bodies and answers are JSON as `#observe` encodes it. */
export interface ObserverDoor {
  /** The node's name, or "sandbox". */
  readonly node: string;
  network(signal: AbortSignal): Promise<unknown>;
  probe(body: unknown, signal: AbortSignal): Promise<unknown>;
  packets(body: unknown, signal: AbortSignal): AsyncIterable<unknown>;
}

export function nodeDoor(client: HttpClient, node: string): ObserverDoor {
  const path = (page: string): string => `/api/v1/nodes/${node}/proxy/debug/${page}`;
  return {
    node,
    network: (signal) => askJson(client, { method: "GET", path: path("network"), op: `ask ${node} for its network`, signal }),
    probe: (body, signal) => askJson(client, { method: "POST", path: path("probe"), op: `send a probe on ${node}`, body, signal }),
    async *packets(body, signal) {
      const stream = await client.stream({ method: "POST", path: path("packets"), op: `watch packets on ${node}`, body, signal });
      for await (const line of createInterface({ input: stream })) yield JSON.parse(line) as unknown;
    },
  };
}

async function askJson(client: HttpClient, request: Parameters<HttpClient["raw"]>[0]): Promise<unknown> {
  const { status, body } = await client.raw(request);
  const text = body.toString();
  if (status !== 200) throw new FairleadError(`cannot ${request.op}: ${messageIn(text)}`, { code: "NoAnswer" });
  return JSON.parse(text);
}

/** The API server speaks in Status objects, a kubelet in plain text. */
function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === "string" ? message : text;
  } catch {
    return text.trim();
  }
}

export interface Gathered {
  readonly reports: readonly NodeReport[];
  /** Who could not be asked, and why. */
  readonly problems: readonly string[];
}

export async function gatherReports(doors: readonly ObserverDoor[]): Promise<Gathered> {
  const reports: NodeReport[] = [];
  const problems: string[] = [];
  await Promise.all(
    doors.map(async (door) => {
      try {
        const report = decodeReport(await door.network(AbortSignal.timeout(ANSWER_MS)));
        reports.push(report);
        problems.push(...report.problems.map((problem) => `${report.node}: ${problem}`));
      } catch (err) {
        problems.push(`${door.node} does not tell of its network: ${errorMessage(err)}`);
      }
    }),
  );
  return { reports: reports.toSorted((a, b) => a.node.localeCompare(b.node, "en", { numeric: true })), problems };
}

export async function listObjects(client: HttpClient): Promise<ClusterObjects> {
  const all = async <T extends KubeObject>(resource: Resource<T>): Promise<readonly Stored<T>[]> => {
    try {
      return (await client.list<T>(resource)).items;
    } catch (err) {
      if (isNotFound(err)) return [];
      throw err;
    }
  };
  const [pods, services, slices, nodes, namespaces, networkPolicies, clusterNetworkPolicies] = await Promise.all([
    all(PODS),
    all(SERVICES),
    all(ENDPOINT_SLICES),
    all(NODES),
    all(NAMESPACES),
    all(NETWORK_POLICIES),
    all(CLUSTER_NETWORK_POLICIES),
  ]);
  return { pods, services, slices, nodes, namespaces, networkPolicies, clusterNetworkPolicies };
}

/** What `node` does for the Service; undefined where it does not say. */
export async function serviceReport(client: HttpClient, node: string, key: string): Promise<ServiceReport | undefined> {
  const path = `/api/v1/nodes/${node}/proxy/debug/services/${key}`;
  try {
    const op = `ask ${node} about Service ${key}`;
    return (await askJson(client, { method: "GET", path, op, signal: AbortSignal.timeout(ANSWER_MS) })) as ServiceReport;
  } catch {
    return undefined;
  }
}
