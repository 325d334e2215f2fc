// Pairs of a random cluster and a random question, for as long as model and reference agree.
import { parsePrefix } from "#ip";
import { type Memory, type Network, prepareNetwork, type Question, roundTrip, SCTP, TCP, TCP_FLAGS, UDP } from "#model";
import { createShadow } from "../../shadow.ts";
import type { ShadowObjects, ShadowOptions } from "../../types.ts";
import { changed, randomCluster, type Shape } from "./cluster.ts";
import { compare, type Disagreement, type Setting } from "./compare.ts";
import { placesOf, randomQuestion } from "./questions.ts";
import { Chance } from "./random.ts";
import { type Listening, Reference } from "./reference.ts";

const CIDRS: Pick<ShadowOptions, "podCidrs" | "serviceCidrs"> = {
  podCidrs: ["10.244.0.0/16", "fd00:10:244::/56"].map((text) => parsePrefix(text)),
  serviceCidrs: ["10.96.0.0/16", "fd00:10:96::/112"].map((text) => parsePrefix(text)),
};

const OUTSIDE_LISTENS = [TCP, UDP, SCTP].flatMap((protocol) => [80, 8080].map((port) => ({ protocol, port })));
const KUBELET = { protocol: TCP, port: 10_250 };

/** Beside what pods declare. */
export function settingOf(overlay: Setting["overlay"], nodes: number): Setting {
  const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
  const listening: Listening = { outside: OUTSIDE_LISTENS, ...Object.fromEntries(names.map((name) => [name, [KUBELET]])) };
  return { overlay, listening, options: { ...CIDRS, overlay, listeners: listening } };
}

/** How often a cluster changes before another one is made, and how many questions are asked each time. */
const CHANGES = 5;
const QUESTIONS = 40;

export interface Progress {
  readonly pairs: number;
  readonly clusters: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

export interface Found {
  readonly objects: ShadowObjects;
  readonly setting: Setting;
  readonly disagreement: Disagreement;
  /** The seed of the cluster alone. */
  readonly seed: number;
}

/** Stops at the first disagreement, or when `goesOn` says no; it is asked after each cluster. */
export function comparePairs(seed: number, goesOn: (progress: Progress) => boolean): Progress & { readonly found?: Found } {
  let pairs = 0;
  let clusters = 0;
  const outcomes: Record<string, number> = {};
  const progress = (): Progress => ({ pairs, clusters, outcomes });
  do {
    const own = (seed + clusters) >>> 0;
    const count = (way: string): void => {
      outcomes[way] = (outcomes[way] ?? 0) + 1;
      pairs++;
    };
    const found = compareOne(own, count);
    if (found !== undefined) return { ...progress(), found };
    clusters++;
  } while (goesOn(progress()));
  return progress();
}

function compareOne(seed: number, count: (outcome: string) => void): Found | undefined {
  const chance = new Chance(seed);
  const shape: Shape = { nodes: chance.int(1, 3), podsPerNode: 4, fixed: false };
  const setting = settingOf(chance.is(0.5) ? "vxlan" : "host-gw", shape.nodes);
  const shadow = createShadow(setting.options);
  let objects = randomCluster(chance, shape);
  let standing: readonly Standing[] = [];
  for (let change = 0; change <= CHANGES; change++) {
    const network = prepareNetwork(shadow.network(objects));
    const reference = new Reference(objects, setting.overlay, setting.listening);
    const places = placesOf(objects);
    for (const flow of standing) {
      const disagreement = compareStanding(network, reference, flow);
      if (disagreement !== undefined) return { objects, setting, disagreement, seed };
      count("stands or is cut");
    }
    const begun: Standing[] = [];
    for (let i = 0; i < QUESTIONS; i++) {
      const question = randomQuestion(chance, places);
      const disagreement = compare(network, reference, question);
      if (disagreement !== undefined) return { objects, setting, disagreement, seed };
      count(kindOf(reference.expect(question).map(({ kind }) => kind)));
      if (chance.is(0.3)) begun.push(...begin(network, question, chance));
    }
    const next = changed(chance, objects);
    standing = next.services === objects.services && next.endpointSlices === objects.endpointSlices ? begun : [];
    objects = next;
  }
  return undefined;
}

/** A flow between a client and a pod, as conntrack remembers it. */
interface Standing {
  readonly question: Question;
  readonly by: string;
  readonly memory: Memory;
}

function begin(network: Network, question: Question, chance: Chance): Standing[] {
  const { outcome, memory } = roundTrip(network, question, () => chance.next(), { remember: true, record: false });
  const isPods = outcome.kind === "answered" && outcome.by.includes("/");
  return isPods && memory !== undefined ? [{ question, by: outcome.by, memory }] : [];
}

/** After a change of policies or labels: it goes on with the same pod where a new one may, and is cut where a new one may not. */
function compareStanding(network: Network, reference: Reference, { question, by, memory }: Standing): Disagreement | undefined {
  const later: Question = { ...question, tcpFlags: TCP_FLAGS.ack | TCP_FLAGS.psh };
  const { outcome } = roundTrip(network, later, Math.random, { memory, record: false });
  const model = outcome.kind === "answered" ? `answered by ${outcome.by}` : outcome.kind;
  const mayBegin = reference.expect(question).some((way) => way.kind === "answered" && way.by === by);
  const expected = mayBegin ? `answered by ${by}` : "silence";
  return model === expected ? undefined : { question: later, model: [`${model} (a flow that stands)`], expected: [expected] };
}

function kindOf(kinds: readonly string[]): string {
  const all = new Set(kinds);
  return all.size === 1 ? (kinds[0] ?? "") : "several";
}
