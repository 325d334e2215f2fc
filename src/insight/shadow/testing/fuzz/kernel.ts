// The model against a kernel: the tables of random clusters in real namespaces, and packets of real programs between them.
import { formatAddrPort } from "#ip";
import { type Network, prepareNetwork, type Question, roundTrips, SCTP, TCP } from "#model";
import { createShadow } from "../../shadow.ts";
import type { ShadowObjects } from "../../types.ts";
import { type RealNetwork, realize } from "../realize.ts";
import { changed, randomCluster, type Shape } from "./cluster.ts";
import { foreseen, type Setting } from "./compare.ts";
import { settingOf } from "./pairs.ts";
import { PORTS } from "./policies.ts";
import { type Observed, Probes } from "./probes.ts";
import { placesOf, randomQuestion } from "./questions.ts";
import { Chance } from "./random.ts";

const SHAPE: Shape = { nodes: 2, podsPerNode: 3, fixed: true };
/** How many questions are asked of a cluster at once; TCP's take longer. */
const QUESTIONS = 500;
const TCP_QUESTIONS = 25;
const CHANGES = 6;
/** Where nothing is foreseen, all that comes within a moment is too much. */
const NOTHING_MS = 300;
/**
 * For an answer that is foreseen. What differs is asked again, from other ports: a port that an earlier connection has left in conntrack may
 * lead elsewhere, and of many packets to a neighbour that is not known yet some are lost (`unres_qlen`).
 */
const ANSWER_MS: readonly number[] = [1500, 5000, 10_000];

export interface KernelProgress {
  readonly probes: number;
  readonly clusters: number;
  readonly askedAgain: number;
  readonly answered: number;
}

export interface KernelDisagreement {
  readonly objects: ShadowObjects;
  readonly setting: Setting;
  readonly question: Question;
  readonly model: readonly string[];
  readonly observed: Observed;
  readonly seed: number;
}

/** In a namespace of pods their names say where they are, whatever their Kubernetes namespace. */
function placeOf(name: string): string {
  return name.slice(name.indexOf("/") + 1);
}

/** Stops at the first disagreement, or when `goesOn` says no. Needs CAP_NET_ADMIN. */
export async function probeKernel(
  seed: number,
  overlay: Setting["overlay"],
  goesOn: (progress: KernelProgress) => boolean,
): Promise<KernelProgress & { readonly found?: KernelDisagreement }> {
  const run = new KernelRun(seed, overlay);
  try {
    do {
      const found = await run.cluster();
      if (found !== undefined) return { ...run.progress, found };
    } while (goesOn(run.progress));
    return run.progress;
  } finally {
    run.close();
  }
}

class KernelRun {
  progress: KernelProgress = { probes: 0, clusters: 0, askedAgain: 0, answered: 0 };
  readonly #seed: number;
  readonly #setting: Setting;
  readonly #real: RealNetwork;
  readonly #probes: Probes;

  constructor(seed: number, overlay: Setting["overlay"]) {
    this.#seed = seed;
    this.#setting = settingOf(overlay, SHAPE.nodes);
    const { namespaces } = createShadow(this.#setting.options).network(randomCluster(new Chance(seed), SHAPE));
    this.#real = realize({ namespaces });
    const places = new Map([...this.#real.namespaces].map(([name, real]) => [placeOf(name), real]));
    for (const { ns } of places.values()) shortenMemory(ns.setSysctl.bind(ns));
    const serving = [...places.keys()].filter((name) => name.startsWith("pod-") || name === "outside");
    this.#probes = new Probes(places, serving, PORTS);
  }

  async cluster(): Promise<KernelDisagreement | undefined> {
    const seed = (this.#seed + this.progress.clusters) >>> 0;
    const chance = new Chance(seed);
    const shadow = createShadow(this.#setting.options);
    let objects = randomCluster(chance, SHAPE);
    for (let i = 0; i < CHANGES; i++) {
      const state = shadow.network(objects);
      for (const { name, tables = [] } of state.namespaces) if (tables.length > 0) this.#real.setTables(name, tables);
      const found = await this.#compare(chance, objects, prepareNetwork(state));
      if (found !== undefined) return { ...found, objects, setting: this.#setting, seed };
      objects = changed(chance, objects);
    }
    this.progress = { ...this.progress, clusters: this.progress.clusters + 1 };
    return undefined;
  }

  close(): void {
    this.#probes.close();
    this.#real.close();
  }

  async #compare(
    chance: Chance,
    objects: ShadowObjects,
    network: Network,
  ): Promise<Pick<KernelDisagreement, "question" | "model" | "observed"> | undefined> {
    this.#probes.setListening((place, protocol, port) => {
      const host = [...network.hosts.values()].find(({ name }) => placeOf(name) === place);
      return host?.namespace.listeners?.some((one) => one.protocol === protocol && one.port === port) === true;
    });
    let open = questionsFor(chance, objects).map((question) => ({ question, ways: foreseenWays(network, question) }));
    this.progress = { ...this.progress, probes: this.progress.probes + open.length };
    let last: { question: Question; model: readonly string[]; observed: Observed } | undefined;
    for (let time = 0; time < ANSWER_MS.length && open.length > 0; time++) {
      const waysOf = new Map(open.map(({ question, ways }) => [question, ways]));
      const asked = open.map(({ question }) => ({ ...question, from: placeOf(question.from) }));
      const isForeseen = (question: Question): boolean => {
        const own = open[asked.indexOf(question as (typeof asked)[number])]?.ways ?? [];
        return own.length > 0 && !own.includes("nothing");
      };
      const observed = await this.#probes.ask(asked, (question) => (isForeseen(question) ? ANSWER_MS[time] : undefined) ?? NOTHING_MS);
      const answered = observed.filter((one) => one.startsWith("answered")).length;
      this.progress = {
        ...this.progress,
        answered: this.progress.answered + answered,
        askedAgain: this.progress.askedAgain + (time > 0 ? open.length : 0),
      };
      const differing = open.filter(({ ways }, i) => !ways.includes(observed[i] ?? ""));
      const [first] = differing;
      last = first && { question: first.question, model: waysOf.get(first.question) ?? [], observed: observed[open.indexOf(first)] ?? "" };
      open = differing;
    }
    return last;
  }
}

/** A connection that nobody speaks of any more is forgotten, so that the table does not fill. */
function shortenMemory(setSysctl: (name: string, value: number) => void): void {
  const timeouts = { udp_timeout: 5, udp_timeout_stream: 5, tcp_timeout_time_wait: 5, tcp_timeout_syn_sent: 5, tcp_timeout_close: 5 };
  for (const [name, seconds] of Object.entries(timeouts)) {
    try {
      setSysctl(`net/netfilter/nf_conntrack_${name}`, seconds);
    } catch {
      // Where conntrack is not loaded yet, nothing is tracked.
    }
  }
}

function questionsFor(chance: Chance, objects: ShadowObjects): Question[] {
  const places = placesOf(objects);
  const questions = new Map<string, Question>();
  let connections = 0;
  for (let i = 0; i < QUESTIONS; i++) {
    const question = randomQuestion(chance, places);
    if (question.protocol === SCTP || (question.protocol === TCP && connections++ >= TCP_QUESTIONS)) continue;
    questions.set(`${question.from} ${question.protocol} ${formatAddrPort(question.dst, question.dstPort ?? 0)}`, question);
  }
  return [...questions.values()];
}

/** In the words of `Probes`. */
function foreseenWays(network: Network, question: Question): readonly string[] {
  const ways = roundTrips(network, question, { record: false }).map(({ result }) => {
    const { outcome } = result;
    if (outcome.kind !== "answered") {
      return question.protocol === TCP && outcome.kind === "refused" && outcome.with === "tcp reset" ? "refused" : "nothing";
    }
    return foreseen(result).replace(`answered by ${outcome.by}`, `answered by ${placeOf(outcome.by)}`);
  });
  return [...new Set(ways)].sort();
}
