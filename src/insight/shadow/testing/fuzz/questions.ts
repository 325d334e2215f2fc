// Random questions in a cluster: who asks, and what. Destinations are what the cluster has, and a little of what it has not.
import { type Family, formatAddr, parseAddr } from "#ip";
import { type Question, SCTP, TCP, UDP } from "#model";
import { addrsOf, hasNamespace, namespaceOf } from "../../pods.ts";
import type { ShadowObjects } from "../../types.ts";
import { OUTSIDE } from "../../underlay.ts";
import { OUTSIDE_ADDR } from "./cluster.ts";
import { PORTS } from "./policies.ts";
import type { Chance } from "./random.ts";

const PROTOCOLS: Readonly<Record<string, number>> = { TCP, UDP, SCTP };

interface Target {
  readonly family: Family;
  readonly addr: string;
  /** Ports that mean something there, with their protocols; absent: any. */
  readonly ports?: readonly { readonly protocol: number; readonly port: number }[];
}

export interface Places {
  readonly askers: readonly string[];
  readonly targets: readonly (readonly Target[])[];
}

function familyOf(addr: string): Family {
  return addr.includes(":") ? 6 : 4;
}

export function placesOf({ nodes, pods, services }: ShadowObjects): Places {
  const own = pods.filter(hasNamespace);
  const plain = (addr: string): Target => ({ family: familyOf(addr), addr });
  const nodeAddrs = nodes.flatMap(({ status }) => (status?.addresses ?? []).map(({ address }) => address));
  const byService = services.map(({ spec, status }): Target[] => {
    const ports = (spec?.ports ?? []).map(({ protocol = "TCP", port }) => ({ protocol: PROTOCOLS[protocol] ?? TCP, port }));
    const nodePorts = (spec?.ports ?? []).flatMap(({ protocol = "TCP", nodePort }) =>
      nodePort === undefined ? [] : [{ protocol: PROTOCOLS[protocol] ?? TCP, port: nodePort }],
    );
    const external = [...(spec?.externalIPs ?? []), ...(status?.loadBalancer?.ingress ?? []).map(({ ip = "" }) => ip)];
    return [
      ...[...(spec?.clusterIPs ?? []), ...external].map((addr) => ({ ...plain(addr), ports })),
      ...(nodePorts.length > 0 ? nodeAddrs.map((addr) => ({ ...plain(addr), ports: nodePorts })) : []),
    ];
  });
  const hostPorts = own.flatMap(({ spec }) =>
    (spec?.containers ?? []).flatMap(({ ports = [] }) =>
      ports.flatMap(({ hostPort, protocol = "TCP" }) =>
        hostPort === undefined ? [] : [{ protocol: PROTOCOLS[protocol] ?? TCP, port: hostPort }],
      ),
    ),
  );
  const gateways = nodes.flatMap((_, i) => [`10.244.${i + 1}.1`, `fd00:10:244:${i + 1}::1`]);
  const nowhere = ["10.244.1.99", "fd00:10:244:1::99", "10.96.0.99", "fd00:10:96::99", "198.51.100.1", "2001:db8:9::1"];
  return {
    askers: [...own.map(namespaceOf), ...own.map(namespaceOf), ...nodes.map(({ metadata }) => metadata.name), OUTSIDE],
    targets: [
      own.flatMap((pod) => addrsOf(pod).map((addr) => plain(formatAddr(addr)))),
      own.flatMap((pod) => addrsOf(pod).map((addr) => plain(formatAddr(addr)))),
      own.flatMap((pod) => addrsOf(pod).map((addr) => plain(formatAddr(addr)))),
      own.flatMap((pod) => addrsOf(pod).map((addr) => plain(formatAddr(addr)))),
      byService.flat(),
      byService.flat(),
      byService.flat(),
      byService.flat(),
      [...nodeAddrs, ...gateways].map(plain),
      [...nodeAddrs, ...gateways].map((addr) => ({ ...plain(addr), ports: hostPorts })),
      [OUTSIDE_ADDR[4], OUTSIDE_ADDR[6]].map(plain),
      nowhere.map(plain),
    ].filter((list) => list.length > 0),
  };
}

export function randomQuestion(chance: Chance, { askers, targets }: Places): Question {
  const { addr, ports } = chance.one(chance.one(targets));
  const chosen =
    ports === undefined || ports.length === 0 || chance.is(0.05)
      ? { protocol: chance.one([TCP, UDP, SCTP]), port: chance.one(PORTS) }
      : chance.one(ports);
  return { from: chance.one(askers), protocol: chosen.protocol, dst: parseAddr(addr), dstPort: chosen.port };
}
