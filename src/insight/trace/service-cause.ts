// A packet that the Services' table refuses: no port, no endpoint, or not for this client. Pure.
import type { Pod, Service, ServicePort } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointSlice } from "kubernetes-types/discovery/v1";
import { formatAddr } from "#ip";
import { keyOf, type Stored } from "#kube";
import { portsOf, protocolOfPort } from "./pods.ts";
import { list } from "./question.ts";
import type { Cause, Ending, Scene, Target } from "./types.ts";
import { yamlPlace } from "./yaml-place.ts";

const SERVICE_NAME = "kubernetes.io/service-name";

export function serviceCause(scene: Scene, ending: Ending): Cause {
  const { by, namespace } = ending;
  const { to } = scene.ask;
  const facts = by === undefined ? [] : [`on ${namespace}: ${by.text}${by.led.length === 0 ? "" : ` (${by.led.join(", ")})`}`];
  const at = formatAddr(ending.packet.dst);
  if (by?.led.includes("no such ClusterIP") === true || by?.comment === "no such ClusterIP") {
    return { code: "no such ClusterIP", sentence: `${at} is in the range of ClusterIPs, and no Service has it`, facts };
  }
  if (to.kind !== "service") return { code: "fairlead rule", sentence: `the Services' rules on ${namespace} refuse it`, facts };
  const cause = ofService(scene, to, ending);
  return { ...cause, facts: [...cause.facts, ...facts] };
}

type ServiceTarget = Extract<Target, { kind: "service" }>;

function ofService(scene: Scene, { service, port }: ServiceTarget, { by }: Ending): Cause {
  const key = keyOf(service);
  const { spec = {} } = service;
  if (by?.chain.startsWith("guarded-") === true || by?.chain.includes("source") === true) {
    const ranges = list(spec.loadBalancerSourceRanges ?? []);
    const yaml = [yamlPlace(service, "spec.loadBalancerSourceRanges")];
    return { code: "source range", sentence: `Service ${key} is only for ${ranges}, and the client is not among them`, facts: [], yaml };
  }
  if (port === undefined) {
    const has = (spec.ports ?? []).map((one) => `${one.port}/${protocolOfPort(one)}`);
    const { dstPort, protocol } = scene.ask;
    const asked = dstPort === undefined ? `port for ${protocol}` : `port ${dstPort}/${protocol}`;
    const sentence = `Service ${key} has no ${asked}; it has ${list(has)}`;
    return { code: "no such service port", sentence, facts: [], yaml: [yamlPlace(service, "spec.ports")] };
  }
  return noEndpoints(scene, service, port);
}

function slicesOf({ objects }: Scene, service: Stored<Service>): Stored<EndpointSlice>[] {
  return objects.slices.filter(
    ({ metadata }) => metadata.namespace === service.metadata.namespace && metadata.labels?.[SERVICE_NAME] === service.metadata.name,
  );
}

/** From the Service to its pods, the first thing that is missing. */
function noEndpoints(scene: Scene, service: Stored<Service>, port: ServicePort): Cause {
  const key = keyOf(service);
  const selector = Object.entries(service.spec?.selector ?? {});
  const wants = selector.map(([label, value]) => `${label}=${value}`).join(",");
  const here = scene.objects.pods.filter(({ metadata }) => metadata.namespace === service.metadata.namespace);
  const selected = here.filter(
    ({ metadata }) => selector.length > 0 && selector.every(([label, value]) => metadata.labels?.[label] === value),
  );
  const endpoints = slicesOf(scene, service).flatMap((slice) => slice.endpoints ?? []);
  const yaml = [yamlPlace(service, "spec.selector")];
  if (selector.length > 0 && selected.length === 0) {
    const sentence = `Service ${key} has no endpoints: no pod of its namespace has ${wants}`;
    return { code: "selector matches nothing", sentence, facts: nearestLabels(here, selector), yaml };
  }
  const misnamed = selector.length === 0 ? undefined : namedPortMismatch(selected, service, port);
  if (misnamed !== undefined) return misnamed;
  const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false);
  if (ready.length > 0) return noLocal(service, ready);
  const facts = endpoints.length > 0 ? endpoints.map(endpointText) : selected.map(podText);
  if (selected.length > 0 || endpoints.length > 0) {
    const sentence = `Service ${key} has no ready endpoint: ${list(selected.map((pod) => `${pod.metadata.name} ${stateOf(pod)}`))}`;
    return { code: "endpoints not ready", sentence, facts: [...facts, ...selected.flatMap(whyNotReady)], yaml };
  }
  return { code: "no endpoints", sentence: `Service ${key} has no endpoints, and no selector to find any`, facts: [], yaml };
}

function nearestLabels(pods: readonly Stored<Pod>[], selector: readonly (readonly [string, string])[]): string[] {
  const keys = selector.map(([label]) => label);
  return pods.slice(0, 8).map(({ metadata }) => {
    const own = keys.map((label) => (metadata.labels?.[label] === undefined ? `no ${label}` : `${label}=${metadata.labels[label]}`));
    return `pod ${metadata.name} has ${own.join(", ")}`;
  });
}

function namedPortMismatch(selected: readonly Stored<Pod>[], service: Stored<Service>, port: ServicePort): Cause | undefined {
  const { targetPort } = port;
  if (typeof targetPort !== "string") return undefined;
  const protocol = protocolOfPort(port);
  const has = (pod: Pod): boolean => portsOf(pod).some((one) => one.name === targetPort && protocolOfPort(one) === protocol);
  if (selected.length === 0 || selected.some(has)) return undefined;
  const index = service.spec?.ports?.indexOf(port) ?? 0;
  const facts = selected.slice(0, 5).map((pod) => {
    const ports = portsOf(pod).map((one) => `${one.name ?? "unnamed"} ${one.containerPort}/${protocolOfPort(one)}`);
    return `pod ${pod.metadata.name} has ${list(ports)}`;
  });
  const sentence = `Service ${keyOf(service)} sends to the port named "${targetPort}"/${protocol}, and none of its pods has one of that name`;
  return { code: "named port mismatch", sentence, facts, yaml: [yamlPlace(service, `spec.ports[${index}].targetPort`)] };
}

function noLocal(service: Stored<Service>, ready: readonly Endpoint[]): Cause {
  const where = list([...new Set(ready.map(({ nodeName }) => nodeName ?? "an unknown node"))]);
  const field = service.spec?.internalTrafficPolicy === "Local" ? "internalTrafficPolicy" : "externalTrafficPolicy";
  const sentence = `Service ${keyOf(service)} has ${field} Local, and no endpoint on the node that was asked; they are on ${where}`;
  return { code: "no local endpoints", sentence, facts: ready.slice(0, 8).map(endpointText), yaml: [yamlPlace(service, `spec.${field}`)] };
}

function endpointText({ addresses, targetRef, nodeName, conditions }: Endpoint): string {
  const state = conditions?.ready === false ? (conditions.terminating === true ? "terminating" : "not ready") : "ready";
  return `endpoint ${targetRef?.name ?? addresses[0] ?? ""} (${addresses.join(", ")}) on ${nodeName ?? "no known node"}: ${state}`;
}

function podText({ metadata, status }: Stored<Pod>): string {
  return `pod ${metadata.name}: ${status?.phase ?? "no phase"}, ${status?.podIP ?? "no address"}`;
}

function stateOf({ metadata, status }: Stored<Pod>): string {
  if (metadata.deletionTimestamp !== undefined) return "terminates";
  return status?.phase === "Running" ? "is not ready" : `is ${status?.phase ?? "unknown"}`;
}

function whyNotReady({ metadata, status }: Stored<Pod>): string[] {
  const conditions = (status?.conditions ?? []).filter(({ type, status: is }) => type === "Ready" && is !== "True");
  return conditions.map(({ reason, message }) => `pod ${metadata.name}: Ready is False: ${[reason, message].filter(Boolean).join(", ")}`);
}
