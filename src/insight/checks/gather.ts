// Asks for everything that the checks look at. Nothing is changed anywhere.
import { errorMessage } from "#base";
import type { NodeReport, ProbeRequest, ProbeResult } from "#observe";
import { type ShadowObjects, shadowNetwork } from "#shadow";
import { planProbes } from "./probes.ts";
import type { ClusterSettings, DoneProbe, Facts, Lease, NodeAnswer, PlannedProbe } from "./types.ts";

/** The way to a cluster. */
export interface Sources {
  readonly settings: ClusterSettings;
  objects(): Promise<ShadowObjects>;
  /** Of one node. Rejects where its agent does not answer. */
  report(node: string): Promise<NodeReport>;
  leases(node: string): Promise<readonly Lease[]>;
  probe(node: string, request: ProbeRequest): Promise<ProbeResult>;
  /** In milliseconds since the Unix epoch. */
  now(): number;
}

/** Probes at one time, over all nodes. */
const AT_ONCE = 16;

/** `probes` false: nothing is sent. */
export async function gather(sources: Sources, { probes: isProbing = true }: { readonly probes?: boolean } = {}): Promise<Facts> {
  const { settings } = sources;
  const objects = await sources.objects();
  const names = objects.nodes.map(({ metadata }) => metadata.name);
  const answers = await Promise.all(names.map((node) => ask(sources, node)));
  const { overlay, policyEstablished, podCidrs, serviceCidrs } = settings;
  const desired = shadowNetwork(objects, { overlay, policyEstablished, podCidrs, serviceCidrs });
  const known = { settings, objects, answers, desired };
  const probes = isProbing ? await sendAll(sources, planProbes(known)) : [];
  return { ...known, probes };
}

async function ask(sources: Sources, node: string): Promise<NodeAnswer> {
  const askedMs = sources.now();
  try {
    const report = await sources.report(node);
    const answeredMs = sources.now();
    return { node, report, leases: await sources.leases(node), askedMs, answeredMs };
  } catch (err) {
    return { node, error: errorMessage(err), askedMs, answeredMs: sources.now() };
  }
}

async function sendAll(sources: Sources, planned: readonly PlannedProbe[]): Promise<DoneProbe[]> {
  const done: DoneProbe[] = [];
  const queue = planned.values();
  const worker = async (): Promise<void> => {
    for (const one of queue) done.push(await send(sources, one));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return done.sort((a, b) => compare(`${a.node} ${a.target}`, `${b.node} ${b.target}`));
}

async function send(sources: Sources, planned: PlannedProbe): Promise<DoneProbe> {
  try {
    return { ...planned, result: await sources.probe(planned.node, planned.request) };
  } catch (err) {
    return { ...planned, error: errorMessage(err) };
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
