// What of the API's objects is kept: all Pods of the cluster are, so little of each. Pure.
import type { Container, Namespace, Pod } from "kubernetes-types/core/v1";
import { tryParseAddr } from "#ip";
import { keyOf, type Stored, type StoredMeta } from "#kube";
import { SCTP, TCP, UDP } from "#nft";
import type { NodeFacts } from "./cluster-types.ts";
import type { NamedPort, PodFacts } from "./types.ts";

/** IPPROTO_* by the API's name; absent is TCP. */
export function protocolNumber(name: string | undefined): number | undefined {
  return PROTOCOLS[name ?? "TCP"];
}

const PROTOCOLS: Readonly<Record<string, number>> = { TCP, UDP, SCTP };

/** For the informer: all else of a Pod is forgotten. */
export function thinPod({ apiVersion, kind, metadata, spec, status }: Stored<Pod>): Stored<Pod> {
  return {
    apiVersion: apiVersion ?? "v1",
    kind: kind ?? "Pod",
    metadata: thinMetadata(metadata),
    spec: {
      ...(spec?.nodeName !== undefined && { nodeName: spec.nodeName }),
      ...(spec?.hostNetwork === true && { hostNetwork: true }),
      containers: (spec?.containers ?? []).flatMap(thinContainer),
      initContainers: (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always").flatMap(thinContainer),
    },
    status: {
      ...(status?.phase !== undefined && { phase: status.phase }),
      ...(status?.podIPs !== undefined && { podIPs: status.podIPs }),
    },
  };
}

export function thinNamespace({ apiVersion, kind, metadata }: Stored<Namespace>): Stored<Namespace> {
  return { apiVersion: apiVersion ?? "v1", kind: kind ?? "Namespace", metadata: thinMetadata(metadata) };
}

export function thinMetadata({ name, namespace, uid, resourceVersion, creationTimestamp, labels }: StoredMeta): StoredMeta {
  const id = { name, uid, resourceVersion, creationTimestamp };
  return { ...id, ...(namespace !== undefined && { namespace }), ...(labels !== undefined && { labels }) };
}

function thinContainer({ name, ports, restartPolicy }: Container): Container[] {
  const named = (ports ?? []).filter((port) => port.name !== undefined);
  return named.length === 0 ? [] : [{ name, ports: named, ...(restartPolicy !== undefined && { restartPolicy }) }];
}

const ENDED: ReadonlySet<string | undefined> = new Set(["Succeeded", "Failed"]);

export function podFacts(pod: Stored<Pod>): PodFacts {
  const { metadata, spec, status } = pod;
  return {
    key: keyOf(pod),
    uid: metadata.uid,
    namespace: metadata.namespace ?? "",
    nodeName: spec?.nodeName ?? "",
    labels: metadata.labels ?? {},
    addrs: (status?.podIPs ?? []).flatMap(({ ip }) => tryParseAddr(ip ?? "") ?? []),
    ports: namedPorts(pod),
    isPeer: spec?.hostNetwork !== true && !ENDED.has(status?.phase),
  };
}

/** Of ports of one name and protocol the first counts, sidecars after containers (`podutil.FindPort`). */
function namedPorts({ spec }: Pod): NamedPort[] {
  const found = new Map<string, NamedPort>();
  const sidecars = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  for (const { ports = [] } of [...(spec?.containers ?? []), ...sidecars]) {
    for (const { name, protocol: protocolName, containerPort: port } of ports) {
      const protocol = protocolNumber(protocolName);
      if (name === undefined || protocol === undefined || found.has(`${protocol} ${name}`)) continue;
      found.set(`${protocol} ${name}`, { name, protocol, port });
    }
  }
  return [...found.values()];
}

export function sameFacts<T extends PodFacts | NodeFacts>(a: T | undefined, b: T | undefined): boolean {
  return JSON.stringify(a, plainBytes) === JSON.stringify(b, plainBytes);
}

function plainBytes(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? value.join() : value;
}
