// nftables as they are beside what they should be. Pure.
//
// What is compared is what packets meet: not comments, not the numbers that a proxy gives to backends in the order in which they came, and not
// what packets put into sets themselves.
import { type Chain, type Element, formatData, formatKey, formatRule, type NftSet, type SetHeader, type Table } from "#nft";
import { nodePairs } from "./observed.ts";
import type { Check, Finding } from "./types.ts";

/** How many differences of one set or chain are told. */
const SHOWN = 3;

/** Chains and elements of clients that come back have numbers of their Services in them. */
const NUMBERED = /stick|remember/;

const NUMBER = /(?<=(?:stick|remember)[46])-\d+/;

function tableDifferences(found: Table | undefined, desired: Table): string[] {
  if (found === undefined) return ["the table is missing"];
  const sets = desired.sets.filter(({ flags }) => flags?.includes("dynamic") !== true);
  return [
    ...sets.flatMap((set) =>
      setDifferences(
        found.sets.find(({ name }) => name === set.name),
        set,
      ),
    ),
    ...desired.chains.flatMap((chain) =>
      chainDifferences(
        found.chains.find(({ name }) => name === chain.name),
        chain,
      ),
    ),
    ...found.chains
      .filter(({ name, base }) => base !== undefined && !desired.chains.some((chain) => chain.name === name))
      .map(({ name }) => `chain ${name} at a hook is not ours`),
  ];
}

function setDifferences(found: NftSet | undefined, desired: NftSet): string[] {
  if (found === undefined) return desired.elements.length === 0 ? [] : [`set ${desired.name} is missing`];
  const [there, wanted] = [tally(found), tally(desired)];
  const lacking = [...wanted].filter(([text, count]) => (there.get(text) ?? 0) < count).map(([text]) => text);
  const more = [...there].filter(([text, count]) => (wanted.get(text) ?? 0) < count).map(([text]) => text);
  return [...shown(`set ${desired.name} lacks`, lacking), ...shown(`set ${desired.name} has, and should not,`, more)];
}

function tally({ elements, ...set }: NftSet): Map<string, number> {
  const counts = new Map<string, number>();
  for (const element of elements) {
    const text = elementText(set, element);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return counts;
}

function elementText(set: SetHeader, element: Element): string {
  const isKept = (_: unknown, i: number): boolean => set.key[i] !== "index";
  const key = formatKey({ ...set, key: set.key.filter(isKept) }, { ...element, key: element.key.filter(isKept) });
  return element.data === undefined || NUMBERED.test(set.name) ? key : `${key} : ${formatData(set, element.data).replace(NUMBER, "")}`;
}

function chainDifferences(found: Chain | undefined, desired: Chain): string[] {
  if (NUMBERED.test(desired.name)) return [];
  if (found === undefined) return [`chain ${desired.name} is missing`];
  const [there, wanted] = [rulesOf(found), rulesOf(desired)];
  if (there.join("\n") === wanted.join("\n")) return [];
  const lacking = wanted.filter((rule) => !there.includes(rule));
  const more = there.filter((rule) => !wanted.includes(rule));
  const own = [...shown(`chain ${desired.name} lacks`, lacking), ...shown(`chain ${desired.name} has, and should not,`, more)];
  return own.length > 0 ? own : [`chain ${desired.name} has its rules in another order`];
}

function rulesOf({ rules }: Chain): string[] {
  return rules.map(({ statements }) => formatRule({ statements }, { stateless: true }));
}

function shown(what: string, texts: readonly string[]): string[] {
  if (texts.length === 0) return [];
  const more = texts.length > SHOWN ? ` and ${texts.length - SHOWN} more` : "";
  return [`${what} ${texts.slice(0, SHOWN).join("; ")}${more}`];
}

export const tablesAsDesired: Check = {
  number: 12,
  title: "nftables are as they should be",
  proves: "policies, Services, masquerading and host ports are in every kernel as the API's objects say, element by element",
  unit: "tables",
  run(facts) {
    const pairs = nodePairs(facts).flatMap(({ node, found, desired }) =>
      (desired.tables ?? [])
        .filter(({ name }) => name !== "fairlead-proxy" || facts.settings.proxyMode === "nftables")
        .map((table) => ({
          node,
          table,
          found: found.state.tables?.find(({ name, family }) => name === table.name && family === table.family),
        })),
    );
    const failures = pairs.flatMap(({ node, table, found }): Finding[] =>
      tableDifferences(found, table).map((text) => ({
        object: `node ${node}`,
        problem: `table ${table.family} ${table.name}: ${text}`,
        remedy: "restart the node's agent: it compares with the kernel, and writes what differs",
      })),
    );
    return { examined: pairs.length, failures };
  },
};
