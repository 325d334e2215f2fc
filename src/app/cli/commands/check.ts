// `fairlead check`: is the live network as it should be? Changes nothing.
import { FairleadError } from "#base";
import { type CheckResult, formatResults, gather, type Lease, listChecks, PROBING, parseOnly, runChecks, type Sources } from "#checks";
import type { HttpClient } from "#client";
import { parsePrefix } from "#ip";
import type { ClusterNetworkPolicy, Stored } from "#kube";
import { decodeJson, decodeReport, encodeJson, type ProbeResult } from "#observe";
import { planCluster } from "#sandbox";
import { listObjects, nodeDoor } from "#trace";
import { openClient } from "../api.ts";
import { runningCluster } from "../home.ts";
import { paint } from "../terminal.ts";

const ANSWER_MS = 10_000;
/** By then a change of the moment before has reached every kernel. */
const SETTLE_MS = 1000;

export interface CheckOptions {
  readonly name: string;
  readonly only?: string;
  readonly list: boolean;
  readonly probe: boolean;
  readonly output: "text" | "json";
}

/** The exit code: 0 all passed, 1 not all did. Throws InputError for a check that there is not. */
export async function check(options: CheckOptions): Promise<number> {
  if (options.list) {
    process.stdout.write(listChecks());
    return 0;
  }
  const only = options.only === undefined ? undefined : parseOnly(options.only);
  const checks = await checked(options, only);
  const passed = checks.every((result) => result.passed);
  if (options.output === "json") process.stdout.write(`${JSON.stringify({ passed, checks }, null, 2)}\n`);
  else process.stdout.write(formatResults(checks, paintMark));
  return passed ? 0 : 1;
}

function paintMark(mark: "ok" | "warn" | "FAIL", text: string): string {
  return paint(mark === "ok" ? "green" : mark === "warn" ? "yellow" : "red", text);
}

async function checked(options: CheckOptions, only: ReadonlySet<number> | undefined): Promise<CheckResult[]> {
  const client = openClient(options.name);
  try {
    const sources = sourcesOf(client, options.name);
    const isProbing = options.probe && (only === undefined || [...PROBING].some((number) => only.has(number)));
    const look = async (): Promise<CheckResult[]> => runChecks(await gather(sources, { probes: isProbing }), { only, isProbing });
    const first = await look();
    if (first.every(({ passed }) => passed)) return first;
    // A cluster that changes while it is looked at differs from itself: only what is still wrong is.
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, SETTLE_MS);
    await promise;
    return await look();
  } finally {
    client.close();
  }
}

function sourcesOf(client: HttpClient, name: string): Sources {
  const { options } = runningCluster(name).state;
  const { podCidrs, serviceCidrs, clusterDomain } = planCluster(options);
  const { overlay, policyEstablished = "cut", proxyMode = "nftables" } = options;
  const signal = (): AbortSignal => AbortSignal.timeout(ANSWER_MS);
  return {
    settings: {
      podCidrs: podCidrs.map((text) => parsePrefix(text)),
      serviceCidrs: serviceCidrs.map((text) => parsePrefix(text)),
      clusterDomain,
      overlay,
      policyEstablished,
      proxyMode,
      isSandbox: true,
    },
    async objects() {
      const { slices, clusterNetworkPolicies, ...objects } = await listObjects(client);
      return { ...objects, endpointSlices: slices, clusterNetworkPolicies: clusterNetworkPolicies as Stored<ClusterNetworkPolicy>[] };
    },
    report: async (node) => decodeReport(await nodeDoor(client, node).network(signal())),
    async leases(node) {
      const path = `/api/v1/nodes/${node}/proxy/debug/leases`;
      const { status, body } = await client.raw({ method: "GET", path, op: `ask ${node} which addresses it holds`, signal: signal() });
      if (status !== 200) throw new FairleadError(`cannot ask ${node} which addresses it holds: ${body.toString()}`, { code: "NoAnswer" });
      return JSON.parse(body.toString()) as Lease[];
    },
    probe: async (node, request) => decodeJson(await nodeDoor(client, node).probe(encodeJson(request), signal())) as ProbeResult,
    now: () => Date.now(),
  };
}
