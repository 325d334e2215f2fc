// Pairs of a random cluster and a random question, for as long as model and reference agree.
import { parsePrefix } from "#ip";
import { prepareNetwork, SCTP, TCP, UDP } from "#model";
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
  for (let change = 0; change <= CHANGES; change++) {
    const network = prepareNetwork(shadow.network(objects));
    const reference = new Reference(objects, setting.overlay, setting.listening);
    const places = placesOf(objects);
    for (let i = 0; i < QUESTIONS; i++) {
      const question = randomQuestion(chance, places);
      const disagreement = compare(network, reference, question);
      if (disagreement !== undefined) return { objects, setting, disagreement, seed };
      count(kindOf(reference.expect(question).map(({ kind }) => kind)));
    }
    objects = changed(chance, objects);
  }
  return undefined;
}

function kindOf(kinds: readonly string[]): string {
  const all = new Set(kinds);
  return all.size === 1 ? (kinds[0] ?? "") : "several";
}
