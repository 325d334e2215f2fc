// What a Pod object says of itself that matters before any packet: whether it can ask or be asked, and at which port. Pure.
import type { ContainerPort, Pod } from "kubernetes-types/core/v1";
import { InputError } from "#base";
import { keyOf, podSummary, type Stored } from "#kube";
import type { Protocol } from "#observe";
import type { Cause } from "./types.ts";

/** Why nothing can be sent from or to it; undefined where something can. */
export function podImpossible(pod: Stored<Pod>, what: "ask" | "be asked"): Cause | undefined {
  const { spec, status, metadata } = pod;
  const ended = status?.phase === "Succeeded" || status?.phase === "Failed";
  if (!ended && (status?.podIPs?.length ?? 0) > 0) return undefined;
  const facts = [`status.phase is ${status?.phase ?? "not set"}`, `its state is ${podSummary(pod).status}`];
  if (spec?.nodeName === undefined) facts.push("it is on no node yet (spec.nodeName)");
  for (const { type, status: is, reason, message } of status?.conditions ?? []) {
    if (is === "False" && type === "PodScheduled") facts.push(`not scheduled: ${reason ?? ""} ${message ?? ""}`.trim());
  }
  for (const { name, state } of status?.containerStatuses ?? []) {
    const { reason, message } = state?.waiting ?? {};
    if (reason !== undefined) facts.push(`container ${name} waits: ${reason}${message === undefined ? "" : `, ${message}`}`);
  }
  if (metadata.deletionTimestamp !== undefined) facts.push(`it is being deleted since ${metadata.deletionTimestamp}`);
  const why = ended ? "has ended" : "has no address";
  return { code: "pod not running", sentence: `pod ${keyOf(pod)} cannot ${what}: it ${why}`, facts };
}

export function portsOf({ spec }: Pod): ContainerPort[] {
  const sidecars = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...(spec?.containers ?? []), ...sidecars].flatMap(({ ports = [] }) => ports);
}

export function protocolOfPort({ protocol = "TCP" }: Pick<ContainerPort, "protocol">): Protocol {
  return protocol === "UDP" ? "udp" : protocol === "SCTP" ? "sctp" : "tcp";
}

/** What is wanted, or the pod's only port. Throws InputError where that leaves it open. */
export function podPort(
  pod: Stored<Pod>,
  wanted: { readonly port?: number | string; readonly protocol?: Protocol },
): { readonly port: number | undefined; readonly protocol: Protocol | undefined } {
  if (wanted.protocol === "icmp") return { port: undefined, protocol: "icmp" };
  if (typeof wanted.port === "number") return { port: wanted.port, protocol: wanted.protocol };
  const ports = portsOf(pod).filter((one) => wanted.protocol === undefined || protocolOfPort(one) === wanted.protocol);
  const named = (one: ContainerPort): string =>
    `${one.name === undefined ? "" : `${one.name} `}${one.containerPort}/${protocolOfPort(one)}`;
  const fitting = wanted.port === undefined ? ports : ports.filter(({ name }) => name === wanted.port);
  const [first] = fitting;
  if (first !== undefined && new Set(fitting.map(({ containerPort }) => containerPort)).size === 1) {
    return { port: first.containerPort, protocol: protocolOfPort(first) };
  }
  const has = ports.length === 0 ? "declares no ports" : `has ${ports.map(named).join(", ")}`;
  throw new InputError(
    "--port",
    wanted.port === undefined ? `pod ${keyOf(pod)} ${has}: say which` : `pod ${keyOf(pod)} ${has}, none is named "${wanted.port}"`,
  );
}
