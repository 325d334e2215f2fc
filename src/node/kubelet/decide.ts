// What to do next with a pod: from its spec and what runs of it to a list of things to start and to end. Pure; called again after every change.
// After kubelet `computePodActions`.
import type { Container } from "kubernetes-types/core/v1";
import type { ContainerStatus, PodSandboxStatus } from "#runtime";
import type { CrashBackoff } from "./crash-backoff.ts";
import {
  containersOf,
  describePod,
  ephemeralContainersOf,
  hasRun,
  initContainersOf,
  isSidecar,
  restartPolicyOf,
  type StoredPod,
} from "./pod-spec.ts";

/** What the runtime has of a pod. */
export interface Observed {
  /** The newest. */
  readonly sandbox: PodSandboxStatus | undefined;
  /** Of all sandboxes, by container name, newest first. */
  readonly instances: ReadonlyMap<string, readonly ContainerStatus[]>;
}

/** What probes say of a running container. */
export interface Health {
  /** Its startup probe has succeeded, or it has none. */
  readonly started: boolean;
  /** Why it must be ended; undefined while it is well. */
  readonly failed?: { readonly reason: "Unhealthy"; readonly message: string } | undefined;
}

export interface DecideInput {
  readonly pod: StoredPod;
  readonly observed: Observed;
  readonly healthOf: (containerId: string) => Health;
  readonly backoff: CrashBackoff;
  readonly nowMs: number;
}

export interface Decision {
  /** A sandbox is needed first; the present one, if any, has to go with all containers in it. */
  readonly newSandbox: boolean;
  readonly start: readonly Container[];
  readonly end: readonly { readonly container: Container; readonly status: ContainerStatus; readonly message: string }[];
  /** Containers that are held back, and why. */
  readonly waiting: ReadonlyMap<string, { readonly reason: string; readonly message: string }>;
  /** Nothing will ever be started again, and all (but sidecars) have ended. */
  readonly finished: boolean;
  /** When to look again, if nothing happens before. */
  readonly retryAtMs?: number;
}

interface Draft {
  start: Container[];
  end: Decision["end"][number][];
  waiting: Map<string, { reason: string; message: string }>;
  retryAtMs: number;
}

export function decide(input: DecideInput): Decision {
  const { pod, observed } = input;
  const { sandbox } = observed;
  const usable = sandbox !== undefined && sandbox.state === "ready";
  const draft: Draft = { start: [], end: [], waiting: new Map(), retryAtMs: Number.POSITIVE_INFINITY };
  const finished = isFinished(input);
  if (finished) return { ...draft, newSandbox: false, finished };
  const next = usable ? input : { ...input, observed: withoutInstances(observed) };
  if (usable) decideEphemeral(input, draft);
  if (decideInit(next, draft) === "done") for (const container of containersOf(pod)) decideOne(next, container, draft);
  const { retryAtMs, ...rest } = draft;
  return { ...rest, newSandbox: !usable, finished, ...(Number.isFinite(retryAtMs) && { retryAtMs }) };
}

/** In a new sandbox everything begins anew, except what has ended for good. */
function withoutInstances(observed: Observed): Observed {
  const ended = [...observed.instances].map(([name, list]) => [name, list.filter((instance) => instance.state === "exited")] as const);
  return { sandbox: undefined, instances: new Map(ended) };
}

function isFinished({ pod, observed }: DecideInput): boolean {
  if (containersOf(pod).every((container) => endedForGood(pod, container, observed))) return true;
  // Init containers that failed end a pod that is never restarted.
  return (
    restartPolicyOf(pod) === "Never" && initContainersOf(pod).some((container) => !isSidecar(container) && hasFailed(container, observed))
  );
}

function latestOf(container: Container, observed: Observed): ContainerStatus | undefined {
  return observed.instances.get(container.name)?.[0];
}

function hasFailed(container: Container, observed: Observed): boolean {
  const latest = latestOf(container, observed);
  return latest?.state === "exited" && latest.exitCode !== 0;
}

function endedForGood(pod: StoredPod, container: Container, observed: Observed): boolean {
  const latest = latestOf(container, observed);
  return latest?.state === "exited" && !restarts(pod, container, latest);
}

function restarts(pod: StoredPod, container: Container, ended: ContainerStatus): boolean {
  if (isSidecar(container)) return true;
  const policy = restartPolicyOf(pod);
  return policy === "Always" || (policy === "OnFailure" && ended.exitCode !== 0);
}

/** One after the other; sidecars stay and are started again. "done" when the other containers may run. */
function decideInit(input: DecideInput, draft: Draft): "done" | "waiting" {
  const { pod, observed } = input;
  const containers = initContainersOf(pod);
  const mainBegan = containersOf(pod).some((container) => {
    const latest = latestOf(container, observed);
    return latest !== undefined && latest.podSandboxId === observed.sandbox?.id;
  });
  for (const container of containers) {
    const latest = latestOf(container, observed);
    if (isSidecar(container)) {
      decideOne(input, container, draft);
      const started = latest?.state === "running" && input.healthOf(latest.id).started;
      if (!started && !mainBegan) return "waiting";
      continue;
    }
    if (mainBegan || (latest?.state === "exited" && latest.exitCode === 0)) continue;
    decideInitStep(input, container, draft);
    return "waiting";
  }
  return "done";
}

/** Once and never again, whatever the others do; in a new sandbox those that have run are gone. */
function decideEphemeral({ pod, observed }: DecideInput, draft: Draft): void {
  const began = new Set((pod.status?.ephemeralContainerStatuses ?? []).filter(hasRun).map(({ name }) => name));
  for (const container of ephemeralContainersOf(pod)) {
    const latest = latestOf(container, observed);
    if (latest === undefined ? !began.has(container.name) : isUnbegun(latest)) draft.start.push(container);
  }
}

function isUnbegun({ state }: ContainerStatus): boolean {
  return state === "created" || state === "unknown";
}

function decideInitStep(input: DecideInput, container: Container, draft: Draft): void {
  const latest = latestOf(container, input.observed);
  if (latest === undefined || isUnbegun(latest)) draft.start.push(container);
  // A failed one of a pod that is never restarted was the pod's end.
  else if (latest.state === "exited") startOrWait(input, container, latest, draft);
}

function decideOne(input: DecideInput, container: Container, draft: Draft): void {
  const latest = latestOf(container, input.observed);
  if (latest === undefined || isUnbegun(latest)) {
    draft.start.push(container);
    return;
  }
  if (latest.state === "exited") {
    if (restarts(input.pod, container, latest)) startOrWait(input, container, latest, draft);
    return;
  }
  const { failed } = input.healthOf(latest.id);
  if (failed !== undefined) draft.end.push({ container, status: latest, message: failed.message });
}

function startOrWait(input: DecideInput, container: Container, ended: ContainerStatus, draft: Draft): void {
  const wait = input.backoff.check(container.name, ended.finishedAtMs ?? input.nowMs, input.nowMs);
  if (wait === undefined) {
    draft.start.push(container);
    return;
  }
  const message = `back-off ${formatSeconds(wait.delayMs)} restarting failed container=${container.name} pod=${describePod(input.pod)}`;
  draft.waiting.set(container.name, { reason: "CrashLoopBackOff", message });
  draft.retryAtMs = Math.min(draft.retryAtMs, wait.untilMs);
}

/** As Go prints a duration of whole seconds: 10s, 1m20s, 5m0s. */
export function formatSeconds(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
