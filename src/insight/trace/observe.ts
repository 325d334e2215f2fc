// A real packet, and what was seen of it: watchers armed where it should pass, the probe, and all they tell.
import { errorMessage, FairleadError } from "#base";
import { formatAddr } from "#ip";
import { decodeJson, decodeSighting, encodeJson, type ProbeRequest, type ProbeResult, type Sighting, type WatchRequest } from "#observe";
import { flowSteps, marksOf, seenPoints } from "./correlate.ts";
import { diagnose } from "./diagnose.ts";
import { type ObserverDoor, SANDBOX } from "./gather.ts";
import { isTarget, isUnable, observedEnding } from "./observed-ending.ts";
import type { Ask, Cause, Observed, Predicted, Scene, Verdict } from "./types.ts";

/** Nothing is far: what is not answered by then will not be. */
const PROBE_MS = 1200;
/** A watcher that does not say "armed" by then is told of, and the probe is sent all the same. */
const ARM_MS = 8000;
/** What was seen is told a moment after. */
const SETTLE_MS = 150;
/** How often what was seen is looked through for a drop. */
const LOOK_MS = 50;
/** A reset or an ICMP error that a rule sends has come by then. */
const REFUSAL_MS = 150;
const WATCH_SECONDS = 20;

export interface ProbeOptions {
  /** What is sent after the handshake, or as the datagram. */
  readonly payload?: Uint8Array;
  readonly clientPort?: number;
}

export async function observe(
  doors: readonly ObserverDoor[],
  scene: Scene,
  predicted: Predicted,
  options: ProbeOptions = {},
): Promise<Observed> {
  const { ask } = scene;
  const clientPort = chosenPort();
  const marks = marksOf(ask, predicted, clientPort);
  const watching = watchAll(doorsOnWay(doors, scene, predicted), watchRequest(ask, predicted));
  try {
    await watching.armed;
    const probe = await probeUntilDropped(doors, scene, { ...options, clientPort }, () =>
      flowSteps(watching.sightings, marks).some(({ sighting }) => sighting.verdict === "drop"),
    );
    await pause(SETTLE_MS);
    return judged(scene, predicted, { probe, clientPort, sightings: watching.sightings, problems: watching.problems });
  } finally {
    await watching.stop();
  }
}

const FIRST_PORT = 20_000;
const PORTS = 9_000;

/** Below those that kernels choose from (ip_local_port_range) and those of NodePorts: so packets are told apart before anything is sent. */
function chosenPort(): number {
  return FIRST_PORT + Math.floor(Math.random() * PORTS);
}

/** Where a rule has dropped the packet, nobody need wait for its answer; a refusal comes at once. */
async function probeUntilDropped(
  doors: readonly ObserverDoor[],
  scene: Scene,
  options: ProbeOptions,
  isDropped: () => boolean,
): Promise<ProbeResult> {
  const abort = new AbortController();
  const probe = sendProbe(doors, scene, options, abort.signal);
  let isDone = false;
  const dropped = (async (): Promise<ProbeResult> => {
    while (!isDone && !isDropped()) await pause(LOOK_MS);
    await pause(REFUSAL_MS);
    return { outcome: "silence" };
  })();
  try {
    return await Promise.race([probe, dropped]);
  } finally {
    isDone = true;
    probe.catch(() => undefined);
    abort.abort();
  }
}

interface Told {
  readonly probe: ProbeResult;
  readonly clientPort: number;
  readonly sightings: readonly Sighting[];
  readonly problems: readonly string[];
}

/** Pure. */
export function judged(scene: Scene, predicted: Predicted, { probe, clientPort, sightings, problems }: Told): Observed {
  const marks = marksOf(scene.ask, predicted, clientPort);
  const points = seenPoints(sightings, marks);
  const steps = flowSteps(sightings, marks);
  const ending = observedEnding(scene, { probe, points, steps }, predicted);
  const arrived = points.findLast(({ direction, way }) => direction === "request" && way === "in");
  const isUnanswered = ending === undefined && probe.outcome !== "answered";
  const cause = ending === undefined ? undefined : withEvidence(isUnable(probe) ? unable(scene, probe) : diagnose(scene, ending), points);
  const verdict: Verdict = ending === undefined ? "allowed" : ending.said === "refused" ? "refused" : "silence";
  const silent: Cause | undefined =
    isUnanswered && arrived !== undefined && isTarget(scene, predicted, arrived.namespace)
      ? { code: "no answer", sentence: `it came to ${arrived.namespace}, whose process said nothing to it`, facts: [arrived.text] }
      : undefined;
  const why = cause ?? silent;
  return { verdict, probe, clientPort, points, sightings, problems, ...(why !== undefined && { cause: why }) };
}

function unable({ ask }: Scene, { message, errno }: ProbeResult): Cause {
  const sentence = `the kernel of ${ask.from.text} cannot send ${ask.protocol} at all: ${message ?? errno ?? "it does not say why"}`;
  return { code: "unknown", sentence, facts: [] };
}

function withEvidence(cause: Cause, points: Observed["points"]): Cause {
  const last = points.at(-1);
  if (last === undefined) return { ...cause, facts: [...cause.facts, "no packet was seen at any link"] };
  return { ...cause, facts: [...cause.facts, `seen last: ${last.way} ${last.link} of ${last.namespace}: ${last.text}`] };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Those who have a namespace that the prediction passes, and those at both ends; the underlay is on every way between nodes. */
function doorsOnWay(doors: readonly ObserverDoor[], { reports, ask }: Scene, { ways }: Predicted): ObserverDoor[] {
  const passed = new Set([
    ask.from.namespace,
    ...ways.flatMap(({ roundTrip: { request, reply } }) => [...request.hops, ...(reply?.hops ?? [])].map(({ namespace }) => namespace)),
    ...ways.flatMap(({ endpoint }) => endpoint?.pod ?? []),
    ...(ask.to.kind === "pod" ? [`${ask.to.pod.metadata.namespace}/${ask.to.pod.metadata.name}`] : []),
  ]);
  const nodes = new Set(reports.filter(({ namespaces }) => namespaces.some(({ state }) => passed.has(state.name))).map(({ node }) => node));
  return doors.filter(({ node }) => nodes.has(node) || node === SANDBOX);
}

function watchRequest(ask: Ask, predicted: Predicted): WatchRequest {
  const { servers, serverPorts } = marksOf(ask, predicted);
  return { match: { protocol: ask.protocol, addrs: servers, ports: serverPorts }, seconds: WATCH_SECONDS };
}

interface Watching {
  /** Resolves when every watcher is, or has failed. */
  readonly armed: Promise<void>;
  readonly sightings: readonly Sighting[];
  readonly problems: readonly string[];
  stop(): Promise<void>;
}

function watchAll(doors: readonly ObserverDoor[], request: WatchRequest): Watching {
  const abort = new AbortController();
  const sightings: Sighting[] = [];
  const problems: string[] = [];
  const body = encodeJson(request);
  const runs = doors.map((door) => {
    const { promise: armed, resolve } = Promise.withResolvers<void>();
    const take = (sighting: Sighting): void => {
      sightings.push(sighting);
      if (sighting.kind === "lost") problems.push(`${sighting.node}: some ${sighting.what} of ${sighting.namespace} were lost`);
      if (sighting.kind !== "armed") return;
      problems.push(...sighting.problems.map((problem) => `${sighting.node}: ${problem}`));
      resolve();
    };
    const ended = (async () => {
      try {
        for await (const line of door.packets(body, abort.signal)) take(decodeSighting(line));
      } catch (err) {
        if (!abort.signal.aborted) problems.push(`${door.node} does not watch: ${errorMessage(err)}`);
      } finally {
        resolve();
      }
    })();
    return { armed, ended };
  });
  const late = new Promise<void>((resolve) => setTimeout(resolve, ARM_MS).unref());
  return {
    armed: Promise.race([Promise.all(runs.map(({ armed }) => armed)).then(() => undefined), late]),
    sightings,
    problems,
    async stop() {
      abort.abort();
      await Promise.all(runs.map(({ ended }) => ended));
    },
  };
}

/** Where the asker is: a pod's node, the node, or the sandbox. */
function doorOf(doors: readonly ObserverDoor[], { from }: Ask): ObserverDoor {
  const { place, pod } = from;
  const wanted = place.kind === "pod" ? pod?.spec?.nodeName : place.kind === "node" ? place.name : SANDBOX;
  const found = doors.find(({ node }) => node === wanted);
  if (found === undefined)
    throw new FairleadError(`cannot send from ${from.text}: nobody can be asked on ${wanted ?? "its node"}`, { code: "NoObserver" });
  return found;
}

export async function sendProbe(
  doors: readonly ObserverDoor[],
  { ask }: Pick<Scene, "ask">,
  { payload, clientPort }: ProbeOptions,
  signal: AbortSignal = AbortSignal.timeout(PROBE_MS * 4),
): Promise<ProbeResult> {
  const { from, protocol, dst, dstPort } = ask;
  const request: ProbeRequest = {
    from: from.place,
    protocol,
    dst,
    timeoutMs: PROBE_MS,
    ...(dstPort !== undefined && { dstPort }),
    ...(payload !== undefined && { payload }),
    ...(clientPort !== undefined && { srcPort: clientPort }),
  };
  const body = encodeJson(request);
  const answer = await doorOf(doors, ask).probe(body, signal);
  const result = decodeJson(answer);
  if (!isResult(result)) throw new FairleadError(`the probe to ${formatAddr(dst)} has no result`, { code: "BadAnswer" });
  return result;
}

function isResult(value: unknown): value is ProbeResult {
  return typeof value === "object" && value !== null && "outcome" in value;
}
