// Small pieces of nft text.
import type { Verdict } from "./ast.ts";

export function formatVerdict(verdict: Verdict): string {
  return verdict.kind === "jump" || verdict.kind === "goto" ? `${verdict.kind} ${verdict.chain}` : verdict.kind;
}

/** nft's strings have no escapes: a quote cannot be written, so it becomes an apostrophe. */
export function quote(text: string): string {
  return `"${text.replaceAll('"', "'")}"`;
}

const UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
];

/** `1d2h3m4s5ms`, without the parts that are zero. */
export function formatDuration(ms: number): string {
  let rest = ms;
  let text = "";
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text === "" ? "0s" : text;
}
