// Pods and what runs of them, as short texts, for tests of what is decided and reported.
import type { PodSpec, PodStatus } from "kubernetes-types/core/v1";
import type { ContainerStatus, PodSandboxStatus } from "#runtime";
import type { Observed } from "../decide.ts";
import type { StoredPod } from "../pod-spec.ts";

/** What time it is. */
export const NOW: number = Date.UTC(2026, 0, 1);

/** Pod `p`, by default with the container `a`. */
export function pod(spec: Partial<PodSpec> = {}, status?: PodStatus): StoredPod {
  const metadata = { name: "p", namespace: "default", uid: "u", resourceVersion: "1", creationTimestamp: "" };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [{ name: "a" }], ...spec }, ...(status && { status }) };
}

/** `a:running`, `a/2:exited=1` (attempt 2, exit code 1): created and started 10 s ago, ended 5 s ago. Later ones are newer. */
export function observed(texts: readonly string[], sandbox: PodSandboxStatus["state"] | "none" = "ready"): Observed {
  const instances = new Map<string, ContainerStatus[]>();
  for (const text of texts) {
    const [, name = "", attempt = "0", state = "", exitCode] = /^([^/:]+)(?:\/(\d+))?:(\w+)(?:=(\d+))?$/.exec(text) ?? [];
    const reason = exitCode === "0" ? "Completed" : "Error";
    const status: ContainerStatus = {
      id: `${name}-${attempt}`,
      podSandboxId: "s",
      metadata: { name, attempt: Number(attempt) },
      state: state as ContainerStatus["state"],
      createdAtMs: NOW - 10_000,
      startedAtMs: NOW - 10_000,
      image: "img",
      imageId: "img-id",
      labels: {},
      annotations: {},
      logPath: "",
      ...(state === "exited" && { exitCode: Number(exitCode), finishedAtMs: NOW - 5000, reason }),
    };
    instances.set(name, [status, ...(instances.get(name) ?? [])]);
  }
  const metadata = { name: "p", uid: "u", namespace: "default", attempt: 0 };
  const status = { id: "s", metadata, createdAtMs: 0, ips: [], labels: {}, annotations: {} };
  return { sandbox: sandbox === "none" ? undefined : { ...status, state: sandbox }, instances };
}
