// Results for people. Pure.
import { CHECKS } from "./run.ts";
import type { CheckResult, Finding } from "./types.ts";

/** How many findings of one check are shown; the JSON form has all. */
const SHOWN = 10;

type Mark = "ok" | "warn" | "FAIL";

export function formatResults(results: readonly CheckResult[], paint: (mark: Mark, text: string) => string = (_, text) => text): string {
  const failed = results.filter(({ passed }) => !passed);
  const warned = results.reduce((sum, { warnings }) => sum + warnings.length, 0);
  const summary =
    failed.length === 0
      ? `${results.length} checks passed${warned > 0 ? `, ${warned} warning${warned === 1 ? "" : "s"}` : ""}`
      : `${failed.length} of ${results.length} checks failed: ${failed.map(({ number }) => number).join(", ")}`;
  return [...results.flatMap((result) => formatResult(result, paint)), "", summary, ""].join("\n");
}

function formatResult(
  { number, title, unit, examined, failures, warnings, passed }: CheckResult,
  paint: (mark: Mark, text: string) => string,
): string[] {
  const mark = passed ? (warnings.length > 0 ? "warn" : "ok") : "FAIL";
  const counted = examined === 0 ? "nothing to examine" : `${examined} ${unit}`;
  const line = `${paint(mark, mark.padEnd(4))} ${String(number).padStart(2)}  ${title.padEnd(46)} ${counted}`;
  return [line, ...findings(failures), ...findings(warnings)];
}

function findings(list: readonly Finding[]): string[] {
  const shown = list.slice(0, SHOWN).flatMap(({ object, problem, remedy }) => [`         ${object}: ${problem}`, `           → ${remedy}`]);
  return list.length > SHOWN ? [...shown, `         and ${list.length - SHOWN} more (-o json has all)`] : shown;
}

/** For `--list`. */
export function listChecks(): string {
  return CHECKS.map(({ number, title, proves }) => `${String(number).padStart(2)}  ${title}\n    ${proves}\n`).join("");
}
