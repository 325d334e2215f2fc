// Asks, and compares what is heard with what is expected.
import type { Family } from "#ip";
import type { ProxyMode } from "#proxy";
import { type Ask, type Expected, type Place, SOURCES, type Source } from "./features.ts";
import { ask as askOnce, type Protocol } from "./peers.ts";
import type { Topology } from "./topology.ts";

/** One feature, asked in one way by one source over one family and protocol. */
export interface Cell {
  readonly mode: ProxyMode;
  readonly row: string;
  readonly what: string;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly source: Source;
  readonly ok: boolean;
  readonly expected: string;
  readonly observed: string;
}

export interface JudgeInput {
  readonly topology: Topology;
  readonly mode: ProxyMode;
  readonly row: string;
  readonly ask: Ask;
  readonly place: Place;
  readonly protocols: readonly Protocol[];
}

/** One of two equal endpoints is missed in so many questions once in 500 million times. */
const QUESTIONS = 30;
/** A client that should stay where it is and is not kept there goes elsewhere in so many. */
const STICKY_QUESTIONS = 12;

/**
 * Sources ask one after the other, so that taking turns, as IPVS does, does not look like always the same; those that expect no answer
 * wait together.
 */
export async function judge(input: JudgeInput): Promise<Cell[]> {
  const cells: Cell[] = [];
  const waiting: Promise<Cell>[] = [];
  for (const protocol of input.protocols) {
    for (const [source, expected] of Object.entries(input.ask.expect)) {
      const cell = judgeOne(input, { protocol, source: source as Source, expected });
      if (typeof expected.answers === "string") waiting.push(cell);
      else cells.push(await cell);
    }
  }
  return [...cells, ...(await Promise.all(waiting))];
}

interface Question {
  readonly protocol: Protocol;
  readonly source: Source;
  readonly expected: Expected;
}

async function judgeOne({ topology, mode, row, ask, place }: JudgeInput, { protocol, source, expected }: Question): Promise<Cell> {
  const [to, port] = ask.to(place);
  const from = topology.hosts[SOURCES[source]];
  const heard = await hear(() => askOnce(from, protocol, to, port), expected);
  const { ok, observed } = compare(heard, expected, from.addrs[place.family]);
  return { mode, row, what: ask.what, family: place.family, protocol, source, ok, expected: describe(expected), observed };
}

/** Different answers, in the order they came; asks until all that are expected have come, or something else has. */
async function hear(question: () => Promise<string>, { answers, sticky }: Expected): Promise<string[]> {
  const heard = new Set<string>();
  if (typeof answers === "string") return [await question()];
  const missing = new Set(answers);
  for (let i = 0; i < (sticky === true ? STICKY_QUESTIONS : QUESTIONS); i++) {
    const answer = await question();
    const [name = ""] = answer.split(" ");
    heard.add(answer);
    missing.delete(name);
    if (!answers.includes(name) || (sticky !== true && missing.size === 0)) break;
  }
  return [...heard];
}

function compare(heard: readonly string[], { answers, client, sticky }: Expected, own: string): { ok: boolean; observed: string } {
  const observed = heard.join(", ");
  if (typeof answers === "string") return { ok: heard.length === 1 && heard[0] === answers, observed };
  const names = new Set(heard.map((each) => each.split(" ")[0] ?? ""));
  const known = [...names].every((name) => answers.includes(name));
  const all = sticky === true ? names.size === 1 : names.size === answers.length;
  const seen = heard.every((each) => client === undefined || (each.split(" ")[1] === own) === (client === "own"));
  return { ok: known && all && seen, observed };
}

function describe({ answers, client, sticky }: Expected): string {
  if (typeof answers === "string") return answers;
  const who = answers.join(sticky === true ? " or " : " and ");
  const notes = [
    ...(sticky === true ? ["always the same"] : []),
    ...(client === undefined ? [] : [`seeing the client's ${client} address`]),
  ];
  return [who, ...notes].join(", ");
}
