// A pod's status from what runs of it. Pure. After kubelet `generateAPIPodStatus`, `getPhase` and `pkg/kubelet/status/generate.go`.
import type { ContainerStatus as ApiContainerStatus, Container, ContainerState, PodCondition, PodStatus } from "kubernetes-types/core/v1";
import { formatTime } from "#base";
import type { ContainerStatus } from "#runtime";
import type { Observed } from "./decide.ts";
import {
  containersOf,
  ephemeralContainersOf,
  hasRun,
  initContainersOf,
  isSidecar,
  qosClassOf,
  restartPolicyOf,
  type StoredPod,
} from "./pod-spec.ts";

export interface Waiting {
  readonly reason: string;
  readonly message?: string;
}

export interface StatusInput {
  readonly pod: StoredPod;
  readonly observed: Observed;
  readonly hostIps: readonly string[];
  readonly podIps: readonly string[];
  /** Why containers do not run, by name. */
  readonly waiting: ReadonlyMap<string, Waiting>;
  readonly ready: (containerId: string) => boolean;
  readonly started: (containerId: string) => boolean;
  /** What the container left as its last words, by its id. */
  readonly terminationMessage: (containerId: string) => string | undefined;
  /** Nothing of it will run again. */
  readonly finished: boolean;
  readonly nowMs: number;
}

export function podStatus(input: StatusInput): PodStatus {
  const { pod, hostIps, podIps, nowMs } = input;
  const containers = containersOf(pod).map((container) => containerStatus(input, container));
  const inits = initContainersOf(pod).map((container) => containerStatus(input, container));
  const ephemeral = ephemeralContainersOf(pod).map((container) => ephemeralStatus(input, container));
  const initialized = isInitialized(input);
  const phase = phaseOf(input, initialized);
  const status: PodStatus = {
    phase,
    conditions: conditionsOf(input, { containers, inits, initialized, phase }),
    startTime: pod.status?.startTime ?? formatTime(nowMs),
    qosClass: qosClassOf(pod),
    containerStatuses: containers,
    ...(inits.length > 0 && { initContainerStatuses: inits }),
    ...(ephemeral.length > 0 && { ephemeralContainerStatuses: ephemeral }),
    ...addresses("hostIP", hostIps),
    ...addresses("podIP", podIps),
  };
  // What others write stays (spec changes observed by the API server, eviction and preemption).
  for (const field of ["observedGeneration", "nominatedNodeName", "reason", "message", "resize"] as const) {
    const kept: unknown = pod.status?.[field as keyof PodStatus];
    if (kept !== undefined) Object.assign(status, { [field]: kept });
  }
  return status;
}

function addresses(field: "hostIP" | "podIP", ips: readonly string[]): Partial<PodStatus> {
  return ips[0] === undefined ? {} : { [field]: ips[0], [`${field}s`]: ips.map((ip) => ({ ip })) };
}

const RUNTIME = "fairlead";

function containerStatus(input: StatusInput, container: Container): ApiContainerStatus {
  const [latest, previous] = input.observed.instances.get(container.name) ?? [];
  const waiting = input.waiting.get(container.name);
  const running = latest?.state === "running";
  const base = { name: container.name, image: latest?.image ?? container.image ?? "", imageID: latest?.imageId ?? "" };
  const state = stateOf(input, latest, waiting);
  // What ended and waits for its next start is the last state, not the present one.
  const last = state.waiting !== undefined && latest?.state === "exited" ? latest : previous;
  return {
    ...base,
    state,
    lastState: last?.state === "exited" ? { terminated: terminated(input, last) } : {},
    ready: isReady(input, container, latest),
    started: running && input.started(latest.id),
    restartCount: latest?.metadata.attempt ?? 0,
    ...(latest !== undefined && { containerID: containerId(latest) }),
  };
}

/** Nobody asks whether it is ready. What was reported of one whose sandbox is gone stays: it is not started again. */
function ephemeralStatus(input: StatusInput, container: Container): ApiContainerStatus {
  const known = input.pod.status?.ephemeralContainerStatuses?.find(({ name }) => name === container.name);
  if (!input.observed.instances.has(container.name) && known !== undefined && hasRun(known)) return ended(known, input.nowMs);
  const { started: _, ...status } = containerStatus(input, container);
  return { ...status, ready: false };
}

function ended(status: ApiContainerStatus, nowMs: number): ApiContainerStatus {
  if (status.state?.terminated !== undefined) return status;
  const { startedAt = formatTime(nowMs) } = status.state?.running ?? {};
  const facts = { exitCode: 137, reason: "ContainerStatusUnknown", message: "The container could not be located" };
  return { ...status, state: { terminated: { ...facts, startedAt, finishedAt: formatTime(nowMs) } } };
}

function containerId(status: ContainerStatus): string {
  return `${RUNTIME}://${status.id}`;
}

function isReady(input: StatusInput, container: Container, latest: ContainerStatus | undefined): boolean {
  // An init container that has done its work is ready; others serve.
  const isPlainInit = initContainersOf(input.pod).includes(container) && !isSidecar(container);
  if (isPlainInit) return latest?.state === "exited" && latest.exitCode === 0;
  return latest?.state === "running" && input.started(latest.id) && input.ready(latest.id);
}

function stateOf(input: StatusInput, latest: ContainerStatus | undefined, waiting: Waiting | undefined): ContainerState {
  if (latest?.state === "running") return { running: { startedAt: formatTime(latest.startedAtMs ?? latest.createdAtMs) } };
  if (waiting !== undefined)
    return { waiting: { reason: waiting.reason, ...(waiting.message !== undefined && { message: waiting.message }) } };
  if (latest?.state === "exited") return { terminated: terminated(input, latest) };
  return { waiting: { reason: isInitialized(input) ? "ContainerCreating" : "PodInitializing" } };
}

function terminated(input: StatusInput, status: ContainerStatus): NonNullable<ContainerState["terminated"]> {
  const message = input.terminationMessage(status.id) ?? status.message;
  return {
    exitCode: status.exitCode ?? 137,
    reason: status.reason ?? "Error",
    ...(message !== undefined && { message }),
    startedAt: formatTime(status.startedAtMs ?? status.createdAtMs),
    finishedAt: formatTime(status.finishedAtMs ?? status.createdAtMs),
    containerID: containerId(status),
  };
}

/** All init containers have done their work; sidecars have started. Once the others run it stays so. */
function isInitialized({ pod, observed, started }: StatusInput): boolean {
  const mainBegan = containersOf(pod).some((container) => (observed.instances.get(container.name)?.length ?? 0) > 0);
  if (mainBegan) return true;
  return initContainersOf(pod).every((container) => {
    const latest = observed.instances.get(container.name)?.[0];
    if (latest === undefined) return false;
    if (isSidecar(container)) return latest.state === "running" && started(latest.id);
    return latest.state === "exited" && latest.exitCode === 0;
  });
}

function phaseOf(input: StatusInput, initialized: boolean): string {
  const { pod, observed, finished } = input;
  // Once ended a pod stays as it ended.
  const before = pod.status?.phase;
  if (before === "Succeeded" || before === "Failed") return before;
  if (!initialized && !finished) return "Pending";
  const latest = containersOf(pod).map((container) => observed.instances.get(container.name)?.[0]);
  if (finished) return latest.every((status) => status?.state === "exited" && status.exitCode === 0) ? "Succeeded" : "Failed";
  const began = latest.filter((status) => status !== undefined);
  if (began.length < latest.length || began.some((status) => status.state === "created")) return "Pending";
  // One that ended and is about to be started again still counts as running.
  return began.some((status) => status.state === "running") || restartPolicyOf(pod) !== "Never" ? "Running" : "Failed";
}

interface ConditionFacts {
  readonly containers: readonly ApiContainerStatus[];
  readonly inits: readonly ApiContainerStatus[];
  readonly initialized: boolean;
  readonly phase: string;
}

type Verdict = { readonly status: boolean; readonly reason?: string; readonly message?: string };

function conditionsOf(input: StatusInput, facts: ConditionFacts): PodCondition[] {
  const containersReady = containersReadyVerdict(input, facts);
  const verdicts: [string, Verdict][] = [
    ["PodReadyToStartContainers", { status: input.observed.sandbox?.state === "ready" }],
    ["Initialized", initializedVerdict(input, facts)],
    ["Ready", readyVerdict(input, containersReady)],
    ["ContainersReady", containersReady],
    ["PodScheduled", { status: true }],
  ];
  const before = input.pod.status?.conditions ?? [];
  const own = verdicts.map(([type, verdict]) => condition(type, verdict, before, input.nowMs));
  return [...own, ...before.filter(({ type }) => !verdicts.some(([name]) => name === type))];
}

function condition(type: string, { status, reason, message }: Verdict, before: readonly PodCondition[], nowMs: number): PodCondition {
  const old = before.find((candidate) => candidate.type === type);
  const text = status ? "True" : "False";
  const lastTransitionTime = old?.status === text ? old.lastTransitionTime : formatTime(nowMs);
  return {
    type,
    status: text,
    ...(reason !== undefined && { reason }),
    ...(message !== undefined && { message }),
    ...(lastTransitionTime !== undefined && { lastTransitionTime }),
  };
}

function initializedVerdict(input: StatusInput, { inits, initialized, phase }: ConditionFacts): Verdict {
  if (phase === "Succeeded") return { status: true, reason: "PodCompleted" };
  if (initialized) return { status: true };
  const incomplete = inits.filter((status) => !status.ready && !isStartedSidecar(input, status)).map((status) => status.name);
  return { status: false, reason: "ContainersNotInitialized", message: `containers with incomplete status: [${incomplete.join(" ")}]` };
}

function isStartedSidecar({ pod }: StatusInput, status: ApiContainerStatus): boolean {
  return initContainersOf(pod).some((container) => container.name === status.name && isSidecar(container)) && status.started === true;
}

function containersReadyVerdict(input: StatusInput, { containers, inits, phase }: ConditionFacts): Verdict {
  if (phase === "Succeeded") return { status: false, reason: "PodCompleted" };
  if (phase === "Failed") return { status: false, reason: "PodFailed" };
  const sidecars = inits.filter((status) => initContainersOf(input.pod).some((c) => c.name === status.name && isSidecar(c)));
  const unready = [...sidecars, ...containers].filter((status) => !status.ready).map((status) => status.name);
  if (unready.length === 0) return { status: true };
  return { status: false, reason: "ContainersNotReady", message: `containers with unready status: [${unready.join(" ")}]` };
}

function readyVerdict({ pod }: StatusInput, containersReady: Verdict): Verdict {
  if (!containersReady.status) return containersReady;
  const unmet = (pod.spec?.readinessGates ?? []).filter(
    (gate) => pod.status?.conditions?.find(({ type }) => type === gate.conditionType)?.status !== "True",
  );
  if (unmet.length === 0) return { status: true };
  const message = unmet
    .map((gate) => `corresponding condition of pod readiness gate "${gate.conditionType}" does not exist or is not "True"`)
    .join(", ");
  return { status: false, reason: "ReadinessGatesNotReady", message };
}

export function saysReady({ conditions = [] }: PodStatus): boolean {
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

/** Our own last status with the conditions that others have set since. */
export function withOthersConditions(ours: PodStatus, pod: StoredPod): PodStatus {
  const known = new Set((ours.conditions ?? []).map(({ type }) => type));
  const theirs = pod.status?.conditions ?? [];
  const gates = new Set((pod.spec?.readinessGates ?? []).map(({ conditionType }) => conditionType));
  const kept = (ours.conditions ?? []).filter(({ type }) => !gates.has(type));
  return { ...ours, conditions: [...kept, ...theirs.filter(({ type }) => gates.has(type) || !known.has(type))] };
}
