// What every cluster starts with besides its nodes: the DNS server and its Service, as kubeadm names them.
import { DEPLOYMENTS, type KubeObject, type Resource, SERVICE_ACCOUNTS, SERVICES } from "#kube";
import type { ClusterPlan } from "./plan.ts";

export const DNS_NAMESPACE = "kube-system";
const DNS_DEPLOYMENT = "coredns";
const LABELS = { "k8s-app": "kube-dns" };
const PORT_METRICS = 9153;

export interface Addon {
  readonly resource: Resource;
  readonly object: KubeObject;
}

export function addons(plan: ClusterPlan): Addon[] {
  return [
    { resource: SERVICE_ACCOUNTS, object: serviceAccount() },
    { resource: SERVICES, object: dnsService(plan) },
    { resource: DEPLOYMENTS, object: dnsDeployment(plan) },
  ];
}

function serviceAccount(): KubeObject {
  return { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: DNS_DEPLOYMENT, namespace: DNS_NAMESPACE } };
}

function dnsService(plan: ClusterPlan): KubeObject {
  const spec = {
    selector: LABELS,
    clusterIP: plan.dnsAddresses[0],
    clusterIPs: plan.dnsAddresses,
    ipFamilies: plan.families.map((family) => `IPv${family}`),
    ipFamilyPolicy: plan.families.length === 2 ? "RequireDualStack" : "SingleStack",
    ports: [
      { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
      { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 },
      { name: "metrics", port: PORT_METRICS, protocol: "TCP", targetPort: PORT_METRICS },
    ],
  };
  const metadata = {
    name: "kube-dns",
    namespace: DNS_NAMESPACE,
    labels: { ...LABELS, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" },
  };
  return { apiVersion: "v1", kind: "Service", metadata, spec } as KubeObject;
}

function dnsDeployment(plan: ClusterPlan): KubeObject {
  const container = {
    name: "dns",
    image: "fairlead/dns",
    imagePullPolicy: "IfNotPresent",
    args: ["--zone", plan.clusterDomain],
    ports: [
      { name: "dns", containerPort: 53, protocol: "UDP" },
      { name: "dns-tcp", containerPort: 53, protocol: "TCP" },
      { name: "metrics", containerPort: PORT_METRICS, protocol: "TCP" },
    ],
    // Soon enough for the time that a pod which ends goes on answering (`--lameduck`, 5 s); a slow machine is no reason to leave.
    readinessProbe: { httpGet: { path: "/ready", port: 8181 }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 3 },
    livenessProbe: { httpGet: { path: "/health", port: 8080 }, initialDelaySeconds: 60, timeoutSeconds: 5, failureThreshold: 5 },
  };
  // There are no more replicas than nodes, so each finds one of its own; a preference would put both on the node that is Ready first.
  const podAntiAffinity = {
    requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: LABELS }, topologyKey: "kubernetes.io/hostname" }],
  };
  const spec = {
    replicas: Math.min(2, plan.nodes.length),
    selector: { matchLabels: LABELS },
    strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    template: {
      metadata: { labels: LABELS },
      // "Default": the DNS server must not ask itself.
      spec: { serviceAccountName: DNS_DEPLOYMENT, dnsPolicy: "Default", affinity: { podAntiAffinity }, containers: [container] },
    },
  };
  const metadata = { name: DNS_DEPLOYMENT, namespace: DNS_NAMESPACE, labels: LABELS };
  return { apiVersion: "apps/v1", kind: "Deployment", metadata, spec } as KubeObject;
}
