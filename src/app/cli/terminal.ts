// What a person sees: colours on a terminal only, steps with their times, tables.
import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

/** Colours `text` when `stream` is a terminal and NO_COLOR is not set. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(style, text, { stream });
}

export interface Steps {
  /** Says what is being waited for; replaced by the next line on a terminal, silent in a pipe. */
  waiting(text: string): void;
  /** Says that a step is done, and how long after the start. */
  done(text: string, detail?: string): void;
  fail(text: string): void;
  readonly elapsedMs: () => number;
}

/** Steps go to stderr, so that stdout has only what a program would want to read. */
export function createSteps(startedAt: number): Steps {
  const out = process.stderr;
  const live = out.isTTY === true;
  const clear = live ? "\r\u001b[K" : "";
  const elapsedMs = (): number => Date.now() - startedAt;
  return {
    elapsedMs,
    waiting(text) {
      if (live) out.write(`${clear}${paint("dim", `  … ${text}`, out)}`);
    },
    done(text, detail = "") {
      const time = `${(elapsedMs() / 1000).toFixed(2)} s`.padStart(7);
      out.write(
        `${clear}${paint("green", "✓", out)} ${paint("dim", time, out)}  ${text}${detail === "" ? "" : paint("dim", `  ${detail}`, out)}\n`,
      );
    },
    fail(text) {
      out.write(`${clear}${paint("red", "✗", out)} ${text}\n`);
    },
  };
}

/** Columns as kubectl prints them: three spaces between, upper-case heads. */
export function formatTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => (row[i] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
      .join("   ")
      .trimEnd();
  return [heads, ...rows].map((cells) => `${line(cells)}\n`).join("");
}
