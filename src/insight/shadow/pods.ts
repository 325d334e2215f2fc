// Which Pods are there, and what listens in them: as far as their objects tell.
import type { Container, Pod } from "kubernetes-types/core/v1";
import { type Addr, tryParseAddr } from "#ip";
import { keyOf, type Stored } from "#kube";
import type * as model from "#model";
import { protocolNumber } from "#netpol";
import type { PortMapping } from "#portmap";

const ENDED: ReadonlySet<string | undefined> = new Set(["Succeeded", "Failed"]);

/** Whether the Pod's processes may be running on a node. */
export function isAlive({ spec, status }: Pod): boolean {
  return (spec?.nodeName ?? "") !== "" && !ENDED.has(status?.phase);
}

function isOnHostNetwork({ spec }: Pod): boolean {
  return spec?.hostNetwork === true;
}

/** Whether it has a network namespace of its own. */
export function hasNamespace(pod: Pod): boolean {
  return isAlive(pod) && !isOnHostNetwork(pod) && addrsOf(pod).length > 0;
}

/** One of each family: the first. */
export function addrsOf({ status }: Pod): Addr[] {
  const texts = status?.podIPs?.map(({ ip }) => ip) ?? [status?.podIP];
  const addrs = texts.flatMap((text) => (text === undefined ? [] : (tryParseAddr(text) ?? [])));
  return addrs.filter((addr, i) => addrs.findIndex(({ family }) => family === addr.family) === i);
}

/** The name of a Pod's namespace in the model. No Node has such a name. */
export function namespaceOf(pod: Stored<Pod>): string {
  return keyOf(pod);
}

/** Containers that run beside each other, sidecars too. */
function containersOf({ spec }: Pod): Container[] {
  return [...(spec?.containers ?? []), ...(spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always")];
}

/** Ports that containers declare. Of what they do not declare the API knows nothing. */
export function listenersOf(pod: Stored<Pod>): model.Listener[] {
  const found = new Map<string, model.Listener>();
  for (const { name, ports = [] } of containersOf(pod)) {
    for (const { containerPort: port, protocol: protocolName } of ports) {
      const protocol = protocolNumber(protocolName);
      const id = `${protocol} ${port}`;
      if (protocol !== undefined && !found.has(id)) found.set(id, { protocol, port, name: `${keyOf(pod)} ${name}` });
    }
  }
  return [...found.values()];
}

/** As the kubelet asks the runtime for them. */
export function hostPortsOf(pod: Pod): PortMapping[] {
  return containersOf(pod)
    .flatMap(({ ports = [] }) => ports)
    .flatMap(({ containerPort, hostPort = 0, hostIP, protocol = "TCP" }): PortMapping[] => {
      if (hostPort === 0 || (protocol !== "TCP" && protocol !== "UDP" && protocol !== "SCTP")) return [];
      return [{ protocol, containerPort, hostPort, ...(hostIP !== undefined && { hostIp: hostIP }) }];
    });
}
