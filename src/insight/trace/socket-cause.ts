// A packet that came to where it was going, and nobody took it: what listens there instead. Pure.
import { formatAddr, formatAddrPort } from "#ip";
import { keyOf } from "#kube";
import type * as model from "#model";
import type { ListeningSocket } from "#observe";
import { portsOf } from "./pods.ts";
import { list } from "./question.ts";
import { PROTOCOL_NUMBERS } from "./text.ts";
import type { Cause, Ending, Scene } from "./types.ts";
import { yamlPlace } from "./yaml-place.ts";

interface Listening {
  readonly listener: model.Listener;
  readonly socket: ListeningSocket | undefined;
}

export function portClosed(scene: Scene, ending: Ending): Cause {
  const { namespace, packet } = ending;
  const { dstPort = 0, protocol, dst } = packet;
  const all = listeningIn(scene, namespace);
  const asked = `${dstPort}/${protocolName(protocol)}`;
  const facts = [`listening in ${namespace}: ${list(all.map(describe))}`];
  const here = all.filter(({ listener }) => listener.port === dstPort);
  const same = here.filter(({ listener }) => listener.protocol === protocol);
  const local = same.find(({ listener }) => listener.addr !== undefined && isLoopback(formatAddr(listener.addr)));
  if (local !== undefined) {
    const sentence = `${who(local)} in ${namespace} listens at ${describe(local)} only, which nobody else can reach`;
    return { code: "localhost only", sentence, facts };
  }
  const [elsewhere] = same;
  if (elsewhere !== undefined) {
    const sentence = `${who(elsewhere)} in ${namespace} listens at ${describe(elsewhere)}, not at ${formatAddr(dst)}`;
    return { code: "port closed", sentence, facts };
  }
  const [other] = here;
  if (other !== undefined) {
    const sentence = `nobody listens at ${asked} in ${namespace}; ${who(other)} listens at ${describe(other)}`;
    return { code: "other protocol", sentence, facts: [...facts, ...servicePortFacts(scene, dstPort)] };
  }
  return { ...nobody(scene, ending, asked), facts: [...facts, ...servicePortFacts(scene, dstPort), ...nodePortFacts(scene, ending)] };
}

function nobody(scene: Scene, { namespace }: Ending, asked: string): Cause {
  const { to } = scene.ask;
  if (to.kind === "node") {
    const sentence = `nobody listens at ${asked} on node ${to.name}, and no Service has it as a NodePort`;
    return { code: "no NodePort", sentence, facts: [] };
  }
  const sentence = `nobody listens at ${asked} in ${namespace}`;
  if (to.kind !== "service" || to.port === undefined) return { code: "port closed", sentence, facts: [] };
  const index = to.service.spec?.ports?.indexOf(to.port) ?? 0;
  const target = to.port.targetPort ?? to.port.port;
  const yaml = [yamlPlace(to.service, `spec.ports[${index}].targetPort`)];
  return {
    code: "port closed",
    sentence: `${sentence}, to which Service ${keyOf(to.service)} sends (targetPort ${target})`,
    facts: [],
    yaml,
  };
}

function listeningIn({ state, reports }: Scene, namespace: string): Listening[] {
  const own = state.namespaces.find(({ name }) => name === namespace);
  const observed = reports.flatMap(({ namespaces }) => namespaces).findLast(({ state: { name } }) => name === namespace);
  return (own?.listeners ?? []).map((listener, i) => ({ listener, socket: observed?.sockets[i] }));
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(PROTOCOL_NUMBERS).flatMap(([name, numbers]) => Object.values(numbers).map((number) => [number, name])),
);

function protocolName(protocol: number): string {
  return PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`;
}

function describe({ listener: { addr, port, protocol, family } }: Listening): string {
  const any = family === 4 ? "0.0.0.0" : family === 6 ? "[::]" : "*";
  return `${addr === undefined ? `${any}:${port}` : formatAddrPort(addr, port)}/${protocolName(protocol)}`;
}

function who({ listener, socket }: Listening): string {
  const pid = socket?.pid === undefined ? "" : ` (pid ${socket.pid})`;
  return `${socket?.command ?? listener.name ?? "a process"}${pid}`;
}

function isLoopback(addr: string): boolean {
  return addr.startsWith("127.") || addr === "::1";
}

function servicePortFacts({ ask: { to } }: Scene, dstPort: number): string[] {
  if (to.kind !== "service" || to.port === undefined) return [];
  return [`Service ${keyOf(to.service)} translates port ${to.port.port} to ${dstPort} (targetPort ${to.port.targetPort ?? to.port.port})`];
}

function nodePortFacts({ ask: { to }, objects }: Scene, { namespace }: Ending): string[] {
  if (to.kind !== "node") return [];
  const nodePorts = objects.services.flatMap((service) =>
    (service.spec?.ports ?? []).flatMap(({ nodePort }) => (nodePort === undefined ? [] : `${nodePort} of ${keyOf(service)}`)),
  );
  const hostPorts = objects.pods
    .filter(({ spec }) => spec?.nodeName === to.name)
    .flatMap((pod) => portsOf(pod).flatMap(({ hostPort }) => (hostPort === undefined ? [] : `${hostPort} of pod ${keyOf(pod)}`)));
  return [`NodePorts: ${list(nodePorts)}`, `host ports on ${namespace}: ${list(hostPorts)}`];
}
