// A cluster of policies as large as is asked for: ten namespaces, pods of eleven applications here, peers of twenty tiers elsewhere.
import type { Pod } from "kubernetes-types/core/v1";
import type { NetworkPolicy } from "kubernetes-types/networking/v1";

const NAMESPACES = 10;
const APPS = 11;
const TIERS = 20;

export const namespaces: readonly string[] = Array.from({ length: NAMESPACES }, (_, n) => `ns-${n}`);

export function localPod(n: number): Pod {
  return pod(n, { labels: { app: `app-${Math.floor(n / NAMESPACES) % APPS}` }, nodeName: "node-1", addr: `10.244.${n >> 8}.${n & 255}` });
}

/** Each is a peer in one rule of twenty. */
export function peer(n: number): Pod {
  return pod(n, { labels: { tier: `tier-${n % TIERS}` }, nodeName: "node-2", addr: `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}` });
}

interface Given {
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeName: string;
  readonly addr: string;
}

function pod(n: number, { labels, nodeName, addr }: Given): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: `ns-${n % NAMESPACES}`, name: `${nodeName}-${n}`, labels },
    spec: { nodeName, containers: [] },
    status: { phase: "Running", podIPs: [{ ip: addr }] },
  };
}

/** About one application of one namespace: from a tier of all namespaces at a port, and from a block. */
export function policy(n: number, port: number = 1000 + n): NetworkPolicy {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: `ns-${n % NAMESPACES}`, name: `policy-${n}` },
    spec: {
      podSelector: { matchLabels: { app: `app-${Math.floor(n / NAMESPACES) % APPS}` } },
      ingress: [
        {
          from: [{ namespaceSelector: {}, podSelector: { matchLabels: { tier: `tier-${n % TIERS}` } } }],
          ports: [{ port }],
        },
        ...(n % 10 === 0 ? [{ from: [{ ipBlock: { cidr: `172.${16 + (n % 16)}.0.0/16` } }] }] : []),
      ],
    },
  };
}
