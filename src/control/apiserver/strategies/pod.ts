import type { Container, Pod, PodSpec } from "kubernetes-types/core/v1";
import { compareQuantities, parseQuantity } from "#kube";
import { admitPriority, admitTolerations } from "../admission/pod-defaults.ts";
import { admitServiceAccount } from "../admission/service-account.ts";
import type { Strategy } from "../registry/types.ts";

/** After `pkg/registry/core/pod/strategy.go`. */
export const POD_STRATEGY: Strategy<Pod> = {
  returnsDeleted: true,

  admitCreate(pod, write) {
    if (pod.spec === undefined) return;
    admitServiceAccount(pod, write);
    admitTolerations(pod.spec);
    admitPriority(pod, pod.spec);
  },

  prepareForCreate(pod) {
    pod.status = { phase: "Pending", ...(pod.spec === undefined ? {} : { qosClass: qosClassOf(pod.spec) }) };
  },

  prepareForStatusUpdate(pod, old) {
    const status = pod.status;
    if (status === undefined) return;
    if (status.qosClass === undefined && old.status?.qosClass !== undefined) status.qosClass = old.status.qosClass;
    // Both forms of the address are kept in step (`pkg/apis/core/v1/conversion.go`).
    if (status.podIP !== undefined && status.podIPs === undefined) status.podIPs = [{ ip: status.podIP }];
    const first = status.podIPs?.[0]?.ip;
    if (status.podIP === undefined && first !== undefined) status.podIP = first;
  },

  /** Nobody waits for a pod that no node knows or that has ended. */
  gracePeriod(pod, asked) {
    const { phase } = pod.status ?? {};
    if ((pod.spec?.nodeName ?? "") === "" || phase === "Failed" || phase === "Succeeded") return 0;
    const seconds = asked ?? pod.spec?.terminationGracePeriodSeconds ?? 0;
    return seconds < 0 ? 1 : seconds;
  },
};

const RESOURCES = ["cpu", "memory"];

/** After `pkg/apis/core/v1/helper/qos/qos.go`. */
function qosClassOf(spec: PodSpec): "Guaranteed" | "Burstable" | "BestEffort" {
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  if (containers.every((container) => !hasResources(container))) return "BestEffort";
  return containers.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

function hasResources({ resources }: Container): boolean {
  return RESOURCES.some((name) => resources?.requests?.[name] !== undefined || resources?.limits?.[name] !== undefined);
}

function isGuaranteed({ resources }: Container): boolean {
  return RESOURCES.every((name) => {
    const limit = resources?.limits?.[name];
    const request = resources?.requests?.[name] ?? limit;
    return limit !== undefined && request !== undefined && compareQuantities(parseQuantity(limit), parseQuantity(request)) === 0;
  });
}
