// Which policies there are at the same time, and one after the other.
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import type { Given } from "./cluster.ts";
import {
  DIRECTIONS,
  type Direction,
  egressRule,
  type Form,
  ingressRule,
  PEERS,
  PORT_FORMS,
  RULES,
  SUBJECTS,
  specOf,
  TYPES,
} from "./grammar.ts";
import type { Question } from "./judge.ts";
import { namespaceObjects, PLACES, type Protocol, placeOf, podObject } from "./network.ts";
import { reaches, SITUATIONS } from "./situations.ts";

interface State extends Given {
  /** What somebody else says of it, where it is so; undefined: nothing of this question. */
  readonly says?: (question: Question) => boolean | undefined;
}

export interface Case {
  readonly name: string;
  readonly direction: Direction;
  /** Each is given after the one before it, with connections of that one still in conntrack. */
  readonly states: readonly State[];
}

/** Peer × port × direction, all of them; the pods that are selected take turns. */
function grammarCases(): Case[] {
  let n = 0;
  return PEERS.flatMap(([peerName, peers]) =>
    PORT_FORMS.flatMap(([portName, ports]) =>
      DIRECTIONS.map((direction): Case => {
        const [subjectName, subject] = SUBJECTS[n++ % SUBJECTS.length] ?? ["", {}];
        const spec = specOf(subject, direction, [{ peers, ports }]);
        return { name: `${peerName} × ${portName} (${subjectName})`, direction, states: [{ policies: { "x/p": spec } }] };
      }),
    ),
  );
}

/** So many of them that every two forms of different parts meet in one at least. */
function pairwise(): Case[] {
  const all = grammarCases();
  const places = PEERS.flatMap((_, i) => PORT_FORMS.flatMap((_form, j) => DIRECTIONS.map((_direction, k) => [i, j, k] as const)));
  // Each pair of peer and port once; the direction goes round so that it meets all of both.
  return all.filter((_, at) => {
    const [i, j, k] = places[at] ?? [0, 0, 0];
    return (i + j) % DIRECTIONS.length === k;
  });
}

function ruleCases(): Case[] {
  const counted = RULES.flatMap(([name, rules]) =>
    DIRECTIONS.flatMap((direction) =>
      SUBJECTS.map(
        ([subjectName, subject]): Case => ({
          name: `${name} (${subjectName})`,
          direction,
          states: [{ policies: { "y/p": specOf(subject, direction, rules) } }],
        }),
      ),
    ),
  );
  const typed = TYPES.flatMap(([name, policyTypes]) =>
    (["ingress", "egress", "both", "neither"] as const).map((which): Case => {
      const rules: Pick<NetworkPolicySpec, "ingress" | "egress"> = {
        ...((which === "ingress" || which === "both") && { ingress: [ingressRule({ peers: [{ podSelector: {} }] })] }),
        ...((which === "egress" || which === "both") && { egress: [egressRule({ ports: [{ port: 80 }] })] }),
      };
      const spec: NetworkPolicySpec = { podSelector: {}, ...(policyTypes !== undefined && { policyTypes }), ...rules };
      return { name: `${name}, rules of ${which}`, direction: "both", states: [{ policies: { "z/p": spec } }] };
    }),
  );
  return [...counted, ...typed];
}

/** A few policies that differ in everything, to be put on top of each other. */
function samples(): Form<NetworkPolicySpec>[] {
  const peer = (name: string): Form<(typeof PEERS)[number][1]> => PEERS.find(([own]) => own === name) ?? ["", undefined];
  const port = (name: string): Form<(typeof PORT_FORMS)[number][1]> => PORT_FORMS.find(([own]) => own === name) ?? ["", undefined];
  const one = (direction: Direction, peerName: string, portName: string, subject = 0): Form<NetworkPolicySpec> => [
    `${direction}: ${peerName} × ${portName}`,
    specOf(SUBJECTS[subject]?.[1] ?? {}, direction, [{ peers: peer(peerName)[1], ports: port(portName)[1] }]),
  ];
  return [
    ["deny all", specOf({}, "both", undefined)],
    ["allow all in", specOf({}, "ingress", [{}])],
    one("ingress", "podSelector pod=b", "number"),
    one("ingress", "namespaceSelector ns=y", "protocol only", 1),
    one("ingress", "ipBlock with except", "no ports"),
    one("egress", "namespaceSelector NotIn", "several"),
    one("egress", "podSelector {}", "name of another number each", 2),
    one("both", "ipBlock or selector", "endPort", 1),
  ];
}

/** Every two of the samples in one namespace, and every three neighbours over three of them. */
function stackedCases(): Case[] {
  const all = samples();
  const pairs = all.flatMap(([name, spec], i) =>
    all.slice(i + 1).map(
      ([other, second]): Case => ({
        name: `stacked: ${name}; ${other}`,
        direction: "both",
        states: [{ policies: { "x/p": spec, "x/q": second } }],
      }),
    ),
  );
  const triples = all.map(([name, spec], i): Case => {
    const [[second, two], [third, three]] = [all[(i + 3) % all.length] ?? ["", spec], all[(i + 5) % all.length] ?? ["", spec]];
    return {
      name: `in three namespaces: ${name}; ${second}; ${third}`,
      direction: "both",
      states: [{ policies: { "x/p": spec, "y/p": two, "z/p": three } }],
    };
  });
  return [...pairs, ...triples];
}

/** A policy becomes another one, goes and comes again; labels change. */
function updatedCases(): Case[] {
  const all = samples();
  const changed = all.map(([name, spec], i): Case => {
    const [other, next] = all[(i + 1) % all.length] ?? ["", spec];
    const states: Given[] = [
      { policies: { "x/p": spec } },
      { policies: { "x/p": next } },
      { policies: { "x/q": spec, "x/p": next } },
      { policies: {} },
      { policies: { "x/p": spec } },
    ];
    return { name: `changed: ${name}; then ${other}; both; none; the first`, direction: "both", states };
  });
  const policies = {
    "x/in": specOf({ matchLabels: { pod: "a" } }, "ingress", [
      { peers: [{ namespaceSelector: { matchLabels: { team: "far" } } }, { podSelector: { matchLabels: { pod: "b" } } }] },
    ]),
    "y/out": specOf({ matchLabels: { tier: "front" } }, "egress", [
      { peers: [{ namespaceSelector: {}, podSelector: { matchLabels: { tier: "front" } } }] },
    ]),
  };
  const relabelled = (name: string, labels: NonNullable<Given["labels"]>): Case => ({
    name: `labels: ${name}, and back`,
    direction: "both",
    states: [{ policies }, { policies, labels }, { policies }],
  });
  return [
    ...changed,
    relabelled("a namespace more", { y: { ns: "y", "kubernetes.io/metadata.name": "y", team: "far" } }),
    relabelled("a namespace less", { z: { ns: "z", "kubernetes.io/metadata.name": "z" } }),
    relabelled("a pod that is selected no more", { "x/a": { pod: "other" } }),
    relabelled("a pod that is selected now", { "x/c": { pod: "a" } }),
    relabelled("a peer no more", { "x/b": { pod: "other" } }),
    relabelled("a peer more", { "x/c": { pod: "b" } }),
    relabelled("peers and subjects of egress", { "y/a": { pod: "a" }, "y/b": { pod: "b", tier: "front" } }),
  ];
}

/** What each of upstream's situations looks at; by address and Service, as its probes do. */
export function upstreamCases(protocols: readonly Protocol[]): Case[] {
  const possible = SITUATIONS.filter(({ steps }) =>
    steps.every(({ checks }) => checks.every(({ protocol }) => protocols.includes(protocol))),
  );
  return possible.map(({ title, steps }) => ({
    name: title,
    direction: "both",
    states: steps.map(({ policies, labels = {}, checks }): State => {
      const own = [...PLACES.map(podObject), ...namespaceObjects()].map(({ metadata }) => metadata ?? {});
      const keyed = own.map(
        ({ namespace, name = "", labels: before }) => [namespace === undefined ? name : `${namespace}/${name}`, before] as const,
      );
      const changed = keyed
        .filter(([key]) => labels[key] !== undefined)
        .map(([key, before]) => [key, { ...before, ...labels[key] }] as const);
      return {
        policies: policies((pod) => placeOf(pod).addrs),
        labels: Object.fromEntries(changed),
        says: ({ from, to, protocol, port, destination }) => {
          const check = checks.find((each) => each.protocol === protocol && each.port === port);
          return check === undefined || from === to || destination === "name" ? undefined : reaches(check, from.key, to.key);
        },
      };
    }),
  }));
}

export function allCases(): Case[] {
  return [...grammarCases(), ...ruleCases(), ...stackedCases(), ...updatedCases()];
}

/** For every push: what differs in one way only is left out. */
export function quickCases(): Case[] {
  const few = <T>(cases: readonly T[], of: number): T[] => cases.filter((_, i) => i % of === 0);
  return [...few(pairwise(), 3), ...few(ruleCases(), 3), ...few(stackedCases(), 4), ...updatedCases()];
}
