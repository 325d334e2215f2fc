// The table of a run.
import type { Outcome } from "./types.ts";

const RESULT_WIDTH = 8;

export function formatReport(outcomes: readonly Outcome[]): string {
  const width = Math.max(...outcomes.map((outcome) => outcome.title.length), 0);
  const lines = outcomes.flatMap(({ title, result, seconds, reason }) => {
    const took = result === "skipped" ? "" : `${seconds.toFixed(1)} s`;
    const [first = "", ...more] = reason.split("\n");
    const line = `${title.padEnd(width)}  ${result.padEnd(RESULT_WIDTH)}${took.padStart(7)}  ${first}`;
    return [line.trimEnd(), ...more.map((text) => `    ${text}`)];
  });
  return [...lines, "", formatTotals(outcomes)].join("\n");
}

export function formatTotals(outcomes: readonly Outcome[]): string {
  const count = (result: Outcome["result"]): number => outcomes.filter((outcome) => outcome.result === result).length;
  return `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`;
}
