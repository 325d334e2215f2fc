// Faults that are policies, for trace-faults.ts.
import type { KubeObject } from "#kube";
import { type Fault, objects, toDb } from "./trace-staging.ts";
import { HTTP, policy, service } from "./trace-world.ts";

const web = { podSelector: { matchLabels: { app: "web" } } };
const at = (...ports: readonly object[]): { readonly ports: readonly object[] } => ({ ports });
const ingress = (...rules: readonly object[]): KubeObject => policy("db", { policyTypes: ["Ingress"], ingress: rules });
const egress = (...rules: readonly object[]): KubeObject => policy("web", { policyTypes: ["Egress"], egress: rules });

const CLUSTER_POLICY = {
  apiVersion: "policy.networking.k8s.io/v1alpha2",
  kind: "ClusterNetworkPolicy",
  metadata: { name: "no-db" },
  spec: {
    tier: "Admin",
    priority: 10,
    subject: { namespaces: { matchLabels: { "kubernetes.io/metadata.name": "default" } } },
    ingress: [{ name: "none", action: "Deny", from: [{ namespaces: {} }] }],
  },
} as KubeObject;

export const POLICIES: readonly Fault[] = [
  {
    name: "ingress denied",
    ...objects(ingress()),
    question: toDb,
    cause: "policy default deny",
    says: /p-db isolates pod default\/db for ingress/,
  },
  {
    name: "egress denied",
    ...objects(egress()),
    question: toDb,
    cause: "policy default deny",
    says: /p-web isolates pod default\/web for egress/,
  },
  {
    name: "both denied",
    ...objects(ingress(), egress()),
    question: toDb,
    cause: "policy default deny",
    says: /ingress default\/db would refuse it, too/,
  },
  {
    name: "wrong label",
    ...objects(ingress({ from: [{ podSelector: { matchLabels: { app: "webb" } } }] })),
    question: toDb,
    cause: "policy default deny",
    says: /default\/web has app=web, not app=webb/,
  },
  {
    name: "wrong port",
    ...objects(ingress({ from: [web], ...at({ port: 8081 }) })),
    question: toDb,
    cause: "policy default deny",
    says: /8080\/TCP is not 8081\/TCP/,
  },
  {
    name: "wrong protocol",
    ...objects(ingress({ from: [web], ...at({ port: HTTP, protocol: "UDP" }) })),
    question: toDb,
    cause: "policy default deny",
    says: /8080\/TCP is not 8080\/UDP/,
  },
  {
    name: "the protocol asked is not the one allowed",
    ...objects(ingress({ from: [web], ...at({ port: HTTP }) })),
    question: { ...toDb, protocol: "udp" },
    cause: "policy default deny",
    says: /8080\/UDP is not 8080\/TCP/,
  },
  {
    name: "endPort too low",
    ...objects(ingress({ from: [web], ...at({ port: 8000, endPort: 8079 }) })),
    question: toDb,
    cause: "policy default deny",
    says: /8000-8079/,
  },
  {
    name: "named port of a policy that the pod has not",
    ...objects(ingress({ from: [web], ...at({ port: "https" }) })),
    question: toDb,
    cause: "policy default deny",
    says: /has no port named https/,
  },
  {
    name: "wrong namespace selector",
    ...objects(ingress({ from: [{ namespaceSelector: { matchLabels: { team: "shopp" } } }] })),
    question: { ...toDb, from: "shop/client" },
    cause: "policy default deny",
    says: /namespace shop has team=shop, not team=shopp/,
  },
  {
    name: "a pod selector without a namespace selector",
    ...objects(ingress({ from: [{ podSelector: { matchLabels: { app: "client" } } }] })),
    question: { ...toDb, from: "shop/client" },
    cause: "policy default deny",
    says: /shop\/client is not in namespace default/,
  },
  {
    name: "except block",
    ...objects(ingress({ from: [{ ipBlock: { cidr: "10.244.0.0/16", except: ["10.244.1.0/24"] } }] })),
    question: toDb,
    cause: "policy default deny",
    says: /10\.244\.1\.0\/24/,
  },
  {
    name: "only IPv4 allowed",
    ...objects(ingress({ from: [{ ipBlock: { cidr: "0.0.0.0/0" } }] })),
    question: { ...toDb, family: 6 },
    cause: "policy default deny",
    says: /0\.0\.0\.0\/0/,
  },
  {
    name: "echo under a rule with ports",
    ...objects(ingress({ from: [web], ...at({ port: HTTP }) })),
    question: { from: "web", to: "pod/db", protocol: "icmp" },
    cause: "policy default deny",
    says: /p-db isolates/,
  },
  {
    name: "behind a Service",
    ...objects(ingress()),
    question: { from: "web", to: "svc/db" },
    cause: "policy default deny",
    says: /p-db isolates/,
  },
  {
    name: "behind a NodePort, from outside",
    ...objects(
      ingress({ from: [web] }),
      service("np", { type: "NodePort", selector: { app: "db" }, ports: [{ port: 80, targetPort: HTTP, nodePort: 30080 }] }),
    ),
    question: { from: "outside", to: "node/node-1:30080" },
    cause: "policy default deny",
    says: /p-db isolates/,
  },
  {
    name: "DNS blocked",
    ...objects(egress({ to: [{ podSelector: {} }], ...at({ port: HTTP }) })),
    question: { from: "web", to: "db.default", port: "80" },
    cause: "dns blocked",
    says: /p-web isolates pod default\/web for egress/,
  },
  { name: "a name that there is not", question: { from: "web", to: "db.nowhere", port: "80" }, cause: "no such name", says: /NXDOMAIN/ },
  { name: "ClusterNetworkPolicy denies", ...objects(CLUSTER_POLICY), question: toDb, cause: "policy", says: /ClusterNetworkPolicy no-db/ },
];
