// KUBERNETES_SERVICE_HOST and the like: a variable for every Service that existed when the container started (`pkg/kubelet/envvars`). Pure.
import type { Service } from "kubernetes-types/core/v1";

export interface ServiceEnvRequest {
  readonly namespace: string;
  /** `spec.enableServiceLinks`: false leaves only the API server's Service. */
  readonly links: boolean;
  readonly services: readonly Service[];
}

export function serviceEnv({ namespace, links, services }: ServiceEnvRequest): Record<string, string> {
  const env: Record<string, string> = {};
  // The API server's own Service comes first; one of that name in the pod's namespace replaces it.
  const wanted = [
    ...services.filter((service) => service.metadata?.namespace === "default" && service.metadata.name === "kubernetes"),
    ...(links ? services.filter((service) => service.metadata?.namespace === namespace) : []),
  ];
  for (const service of wanted) Object.assign(env, variablesOf(service));
  return env;
}

function variablesOf(service: Service): Record<string, string> {
  const { clusterIP = "", ports = [] } = service.spec ?? {};
  const [first] = ports;
  if (clusterIP === "" || clusterIP === "None" || first === undefined) return {};
  const name = envName(service.metadata?.name ?? "");
  const address = clusterIP.includes(":") ? `[${clusterIP}]` : clusterIP;
  const env: Record<string, string> = { [`${name}_SERVICE_HOST`]: clusterIP, [`${name}_SERVICE_PORT`]: String(first.port) };
  for (const { name: portName, port } of ports) {
    if (portName !== undefined && portName !== "") env[`${name}_SERVICE_PORT_${envName(portName)}`] = String(port);
  }
  for (const [i, { port, protocol = "TCP" }] of ports.entries()) {
    const url = `${protocol.toLowerCase()}://${address}:${port}`;
    const prefix = `${name}_PORT_${port}_${protocol.toUpperCase()}`;
    if (i === 0) env[`${name}_PORT`] = url;
    Object.assign(env, {
      [prefix]: url,
      [`${prefix}_PROTO`]: protocol.toLowerCase(),
      [`${prefix}_PORT`]: String(port),
      [`${prefix}_ADDR`]: clusterIP,
    });
  }
  return env;
}

function envName(name: string): string {
  return name.replaceAll("-", "_").toUpperCase();
}
