// The matrix as text.
import type { ProxyMode } from "#proxy";
import { SOURCES, type Source } from "./features.ts";
import type { Cell } from "./judge.ts";
import type { Protocol } from "./peers.ts";

const ORDER = Object.keys(SOURCES) as Source[];

/** A row for each question, a column for each family and protocol; in it one sign for each source. */
export function printMatrix(mode: ProxyMode, cells: readonly Cell[], protocols: readonly Protocol[]): void {
  const columns = ([4, 6] as const).flatMap((family) => protocols.map((protocol) => ({ family, protocol })));
  const rows = new Map<string, Cell[]>();
  for (const cell of cells) {
    const name = `${cell.row} → ${cell.what}`;
    const row = rows.get(name) ?? [];
    row.push(cell);
    rows.set(name, row);
  }
  const width = Math.max(...[...rows.keys()].map((name) => name.length)) + 2;
  console.log(`\n${mode}: in each column, from left to right: ${ORDER.join(", ")}.  ✓ as expected  ✗ not  · does not apply\n`);
  console.log("".padEnd(width) + columns.map(({ family, protocol }) => `IPv${family} ${protocol}`.padEnd(ORDER.length + 5)).join(""));
  for (const [name, row] of rows) {
    const signs = columns.map(({ family, protocol }) =>
      ORDER.map((source) =>
        signOf(row.find((cell) => cell.family === family && cell.protocol === protocol && cell.source === source)),
      ).join(""),
    );
    console.log(name.padEnd(width) + signs.map((text) => text.padEnd(ORDER.length + 5)).join(""));
  }
}

function signOf(cell: Cell | undefined): string {
  if (cell === undefined) return "·";
  return cell.ok ? "✓" : "✗";
}

export function printSummary(cells: readonly Cell[]): void {
  const wrong = cells.filter(({ ok }) => !ok);
  console.log("");
  for (const { mode, row, what, family, protocol, source, expected, observed } of wrong) {
    console.log(`✗ ${mode}, IPv${family} ${protocol}, from ${source}: ${row} → ${what}: expected ${expected}; observed ${observed}`);
  }
  console.log(
    `${cells.length - wrong.length} of ${cells.length} as expected (${((100 * (cells.length - wrong.length)) / cells.length).toFixed(1)} %)`,
  );
}
