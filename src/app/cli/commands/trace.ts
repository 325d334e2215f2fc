// `fairlead trace`: what should happen to a packet, what does, and why.
import type { HttpClient } from "#client";
import type { Family } from "#ip";
import { NODES } from "#kube";
import type { Protocol } from "#observe";
import { clusterPaths, sandboxObserver } from "#sandbox";
import {
  formatTrace,
  gatherReports,
  listObjects,
  nodeDoor,
  type ObserverDoor,
  plain,
  trace as run,
  serviceReport,
  type Trace,
} from "#trace";
import { openClient } from "../api.ts";
import { runningCluster } from "../home.ts";
import { paint } from "../terminal.ts";

export interface TraceOptions {
  readonly name: string;
  readonly namespace: string;
  readonly port?: string;
  readonly protocol?: Protocol;
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
  readonly output: "text" | "json";
  readonly probe: boolean;
}

/** The exit code: 0 it is answered, 1 it is not. Throws InputError for a question that names nothing that there is. */
export async function trace(from: string, to: string, options: TraceOptions): Promise<number> {
  const client = openClient(options.name);
  try {
    const result = await traceIn(client, from, to, options);
    if (options.output === "json") process.stdout.write(`${JSON.stringify(plain(result), null, 2)}\n`);
    else process.stdout.write(formatTrace(result, (style, text) => paint(style, text)));
    return result.verdict === "allowed" ? 0 : 1;
  } finally {
    client.close();
  }
}

/** Notes of what could not be looked at go to stderr. */
export async function traceIn(client: HttpClient, from: string, to: string, options: Omit<TraceOptions, "output">): Promise<Trace> {
  const { items: nodes } = await client.list(NODES);
  const doors: readonly ObserverDoor[] = [
    ...nodes.map(({ metadata }) => nodeDoor(client, metadata.name)),
    sandboxObserver(clusterPaths(runningCluster(options.name).home).controlSocket),
  ];
  const [objects, { reports, problems }] = await Promise.all([listObjects(client), gatherReports(doors)]);
  for (const problem of problems) note(problem);
  const { namespace, port, protocol, probe: probes } = options;
  const family = familyOf(options);
  return await run(
    { from, to, namespace, ...(port !== undefined && { port }), ...(protocol && { protocol }), ...(family && { family }) },
    { objects, reports, doors, probes, serviceReport: (node, key) => reportOf(client, node, key) },
  );
}

/** What a node does for a Service; said where the model does not know its rules. */
async function reportOf(client: HttpClient, node: string, key: string): ReturnType<typeof serviceReport> {
  const report = await serviceReport(client, node, key);
  const mode = report?.mode ?? "nftables";
  if (mode !== "nftables") note(`the prediction does not know how Services are translated in proxy mode ${mode}: go by what is observed`);
  return report;
}

function note(text: string): void {
  process.stderr.write(`${paint("yellow", "note:", process.stderr)} ${text}\n`);
}

function familyOf({ ipv4, ipv6 }: Pick<TraceOptions, "ipv4" | "ipv6">): Family | undefined {
  if (ipv4 === true) return 4;
  return ipv6 === true ? 6 : undefined;
}
