// From a pod to its place behind a Service (kubernetes `staging/src/k8s.io/endpointslice/utils.go`, `pkg/api/v1/pod/util.go`).
import type { Pod, Service, ServicePort } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointPort } from "kubernetes-types/discovery/v1";
import type { Stored } from "#kube";
import { isPodReady, isPodTerminal } from "../pod-state.ts";

export type AddressType = "IPv4" | "IPv6";

export function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === "None";
}

/** The address of this family; pods have at most one of each. */
export function podAddress(pod: Pod, type: AddressType): string | undefined {
  const ips = pod.status?.podIPs?.map(({ ip }) => ip) ?? [pod.status?.podIP];
  return ips.find((ip) => ip !== undefined && ip !== "" && ip.includes(":") === (type === "IPv6"));
}

/** Whether the pod is behind a Service that selects it, ready or not, terminating or not. */
export function hasEndpoint(pod: Pod): boolean {
  return !isPodTerminal(pod) && (pod.status?.podIP ?? pod.status?.podIPs?.[0]?.ip ?? "") !== "";
}

export interface EndpointInput {
  readonly service: Stored<Service>;
  readonly pod: Stored<Pod>;
  readonly address: string;
  readonly zone: string | undefined;
}

export function makeEndpoint({ service, pod, address, zone }: EndpointInput): Endpoint {
  const isServing = isPodReady(pod);
  const isTerminating = pod.metadata.deletionTimestamp !== undefined;
  const { name, namespace = "", uid } = pod.metadata;
  const { nodeName, hostname, subdomain } = pod.spec ?? {};
  const hasName = hostname !== undefined && hostname !== "" && subdomain === service.metadata.name;
  return {
    addresses: [address],
    conditions: {
      ready: service.spec?.publishNotReadyAddresses === true || (isServing && !isTerminating),
      serving: isServing,
      terminating: isTerminating,
    },
    ...(hasName ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(zone === undefined || zone === "" ? {} : { zone }),
  };
}

/** The Service's ports on this pod: a named target port is another number on each pod, and absent where the pod has no such port. */
export function resolvePorts(service: Service, pod: Pod): EndpointPort[] {
  const ports: EndpointPort[] = [];
  for (const servicePort of service.spec?.ports ?? []) {
    const port = targetPort(servicePort, pod);
    if (port === undefined) continue;
    const { appProtocol } = servicePort;
    ports.push({
      name: servicePort.name ?? "",
      port,
      protocol: servicePort.protocol ?? "TCP",
      ...(appProtocol === undefined ? {} : { appProtocol }),
    });
  }
  return ports;
}

function targetPort(servicePort: ServicePort, pod: Pod): number | undefined {
  const target = servicePort.targetPort;
  if (target === undefined || target === 0 || target === "") return servicePort.port;
  if (typeof target === "number") return target;
  const protocol = servicePort.protocol ?? "TCP";
  // Sidecars are init containers that go on running (KEP-753).
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === "Always");
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars]) {
    const found = container.ports?.find((port) => port.name === target && (port.protocol ?? "TCP") === protocol);
    if (found !== undefined) return found.containerPort;
  }
  return undefined;
}

/** Whether anything of a pod changed that its endpoints show. */
export function changesEndpoint(old: Pod, now: Pod): boolean {
  const show = (pod: Pod): string => {
    const { nodeName, hostname, subdomain } = pod.spec ?? {};
    const { podIP, podIPs } = pod.status ?? {};
    const isTerminating = pod.metadata?.deletionTimestamp !== undefined;
    return JSON.stringify([podIP, podIPs, isPodReady(pod), isPodTerminal(pod), isTerminating, nodeName, hostname, subdomain]);
  };
  return show(old) !== show(now) || JSON.stringify(old.metadata?.labels) !== JSON.stringify(now.metadata?.labels);
}
