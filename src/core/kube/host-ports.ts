import type { Pod } from "kubernetes-types/core/v1";

const ANY = "0.0.0.0";

/** The ports of the node that a pod takes, as `TCP/0.0.0.0/80`: its containers' and, since they go on beside them, its sidecars'. */
export function hostPorts(pod: Pod): string[] {
  const { containers = [], initContainers = [], hostNetwork } = pod.spec ?? {};
  const ports: string[] = [];
  // Kubernetes 1.34 and later; other init containers have ended when it matters (kubernetes/kubernetes#132040).
  const sidecars = initContainers.filter((container) => "restartPolicy" in container && container.restartPolicy === "Always");
  for (const container of [...containers, ...sidecars]) {
    for (const { containerPort, hostPort, hostIP, protocol } of container.ports ?? []) {
      const port = hostPort ?? (hostNetwork === true ? containerPort : 0);
      const ip = hostIP === undefined || hostIP === "" || hostIP === "::" ? ANY : hostIP;
      if (port > 0) ports.push(`${protocol ?? "TCP"}/${ip}/${port}`);
    }
  }
  return ports;
}

/** Whether a port is taken: on the same address, or on any where either asks for all addresses. */
export function portsClash(wanted: readonly string[], taken: ReadonlyMap<string, number>): boolean {
  return wanted.some((want) => {
    const [protocol, ip, port] = want.split("/");
    if (taken.has(want) || taken.has(`${protocol}/${ANY}/${port}`)) return true;
    if (ip !== ANY) return false;
    return [...taken.keys()].some((other) => other.startsWith(`${protocol}/`) && other.endsWith(`/${port}`));
  });
}
