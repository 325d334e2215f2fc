// The truth table as people and programs read it.
import { type Family, formatAddr } from "#ip";
import type { ProbeOutcome } from "#observe";
import { type Cell, formatPoint, pointOf } from "#whatif";
import { formatTable, paint } from "./terminal.ts";

export interface Measured {
  readonly cell: Cell;
  readonly family: Family;
  readonly outcome: ProbeOutcome;
  /** From what was foreseen. */
  readonly differs: boolean;
}

/** Tables wider than this are lists: of who reaches nobody and everybody nothing can be seen in them. */
const WIDE = 16;

/** `+` allowed, `-` denied, `4` and `6` in that family only, `!` measured otherwise than foreseen. */
export function reachText(cells: readonly Cell[], measured: readonly Measured[] | undefined, isWide: boolean): string {
  const columns = new Set(cells.map(({ to }) => to.key));
  const body = isWide || columns.size > WIDE ? listText(cells, measured) : tablesText(cells, measured);
  if (measured === undefined) return body;
  const wrong = measured.filter(({ differs }) => differs);
  const lines = wrong.map(
    ({ cell, family, outcome }) =>
      `${paint("red", "✗")} ${nameOf(cell)} IPv${family}: foreseen ${foreseen(cell, family)}, measured ${outcome}\n`,
  );
  return `${body}\n${measured.length - wrong.length} of ${measured.length} real probes are as foreseen\n${lines.join("")}`;
}

function foreseen(cell: Cell, family: Family): string {
  return cell.families.find((one) => one.family === family)?.allowed === true ? "allowed" : "denied";
}

function portOf({ port }: Cell): string {
  return formatPoint(pointOf(port.protocol, port.port));
}

function nameOf(cell: Cell): string {
  return `${cell.from.key} -> ${cell.to.key} ${portOf(cell)}`;
}

function signOf(cell: Cell): string {
  const allowed = cell.families.filter((one) => one.allowed);
  if (allowed.length === 0) return "-";
  return allowed.length === cell.families.length ? "+" : allowed.map(({ family }) => String(family)).join("");
}

function tablesText(cells: readonly Cell[], measured: readonly Measured[] | undefined): string {
  const wrong = new Set((measured ?? []).filter(({ differs }) => differs).map(({ cell }) => cell));
  const tables = [...Map.groupBy(cells, portOf)].map(([port, own]) => {
    const columns = [...new Set(own.map(({ to }) => to.key))].sort();
    const rows = [...Map.groupBy(own, ({ from }) => from.key)].sort(([a], [b]) => (a < b ? -1 : 1));
    const body = rows.map(([from, line]) => [
      from,
      ...columns.map((to) => {
        const cell = line.find((one) => one.to.key === to);
        return cell === undefined ? "." : `${signOf(cell)}${wrong.has(cell) ? "!" : ""}`;
      }),
    ]);
    const numbers = columns.map((_, i) => String(i + 1));
    const heads = columns.map((key, i) => `  ${i + 1} = ${key}\n`).join("");
    return `${port}: from the pods of the lines to\n${heads}${formatTable(["FROM", ...numbers], body)}`;
  });
  return `${tables.join("\n")}\n+ allowed   - denied   4, 6 in that family only   . the pod itself\n`;
}

function listText(cells: readonly Cell[], measured: readonly Measured[] | undefined): string {
  const outcomes = Map.groupBy(measured ?? [], ({ cell }) => cell);
  const rows = cells.flatMap((cell) =>
    cell.families.map(({ family, addr, allowed }) => [
      cell.from.key,
      cell.to.key,
      formatAddr(addr),
      portOf(cell),
      allowed ? "allowed" : "denied",
      outcomes.get(cell)?.find((one) => one.family === family)?.outcome ?? "",
    ]),
  );
  return formatTable(["FROM", "TO", "ADDRESS", "PORT", "FORESEEN", measured === undefined ? "" : "MEASURED"], rows);
}

export function reachJson(cells: readonly Cell[], measured: readonly Measured[] | undefined): string {
  const outcomes = Map.groupBy(measured ?? [], ({ cell }) => cell);
  const all = cells.map((cell) => ({
    from: cell.from.key,
    to: cell.to.key,
    packet: portOf(cell),
    families: cell.families.map(({ family, addr, allowed }) => {
      const seen = outcomes.get(cell)?.find((one) => one.family === family);
      return {
        family,
        address: formatAddr(addr),
        foreseen: allowed ? "allowed" : "denied",
        ...(seen && { measured: seen.outcome, differs: seen.differs }),
      };
    }),
  }));
  return `${JSON.stringify({ cells: all }, null, 2)}\n`;
}
