// Real connections from inside pods, by the pages of the nodes' agents.
import { FairleadError } from "#base";
import type { HttpClient } from "#client";
import type { Addr } from "#ip";
import type { PodFacts } from "#netpol";
import { encodeJson, type ProbeOutcome, type ProbeRequest, type ProbeResult } from "#observe";

export interface PodProbe {
  readonly from: PodFacts;
  readonly dst: Addr;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
}

/** Somebody's refusal has come back too: packets pass. */
export function isReached(outcome: ProbeOutcome): boolean {
  return outcome === "answered" || outcome === "refused";
}

/** What netexec and porter of agnhost answer to. */
const PAYLOAD = new TextEncoder().encode("hostname");
/** Long enough for a second SYN, which comes after one second. */
const TIMEOUT_MS = 1500;
/** Of a client: it has no more calls under way (`MAX_CALLS` of its transport). */
const AT_ONCE = 6;

/** In the order of the requests. Throws where a node does not answer. */
export async function probeAll(clients: readonly HttpClient[], probes: readonly PodProbe[]): Promise<ProbeOutcome[]> {
  const outcomes: ProbeOutcome[] = [];
  let next = 0;
  const work = async (client: HttpClient): Promise<void> => {
    for (let i = next++; i < probes.length; i = next++) {
      const one = probes[i];
      if (one !== undefined) outcomes[i] = await probeOne(client, one);
    }
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: AT_ONCE }, () => work(client))));
  return outcomes;
}

async function probeOne(client: HttpClient, { from, dst, protocol, port }: PodProbe): Promise<ProbeOutcome> {
  const name = from.key.slice(from.namespace.length + 1);
  const request: ProbeRequest = {
    from: { kind: "pod", namespace: from.namespace, name },
    protocol,
    dst,
    dstPort: port,
    timeoutMs: TIMEOUT_MS,
    ...(protocol === "udp" && { payload: PAYLOAD }),
  };
  const path = `/api/v1/nodes/${from.nodeName}/proxy/debug/probe`;
  const answer = await client.raw({ method: "POST", path, op: `probe from ${from.key}`, body: encodeJson(request) });
  if (answer.status !== 200) {
    throw new FairleadError(`Cannot probe from ${from.key}: ${from.nodeName} answers ${answer.status}: ${answer.body.toString().trim()}`, {
      code: "ProbeFailed",
      op: "probe",
    });
  }
  return (JSON.parse(answer.body.toString()) as ProbeResult).outcome;
}
