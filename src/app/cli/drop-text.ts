// Refused connections as lines of text. Pure.
import type { Drop, DropEnd, DropsLeftOut } from "#policy";

export type Told = Drop | DropsLeftOut;

export function isDrop(told: Told): told is Drop {
  return !("leftOut" in told);
}

/** Whether one of its ends is a pod of the namespace. */
export function concernsNamespace({ from, to }: Drop, namespace: string): boolean {
  return [from, to].some(({ pod }) => pod?.startsWith(`${namespace}/`) === true);
}

const HEADS = ["TIME", "NODE", "REFUSED", "PROTOCOL", "FROM", "TO", "BY"] as const;
const WIDTHS = [12, 10, 7, 8, 44, 44, 0] as const;

export const DROP_HEAD: string = row(HEADS);

export function formatDrop({ time, node, direction, protocol, from, to, policies }: Drop): string {
  const by = policies.length === 0 ? "(a pod that the API does not know)" : policies.join(", ");
  return row([time.slice(11, 23), node, direction ?? "-", protocol, formatEnd(from), formatEnd(to), by]);
}

export function formatLeftOut({ node, leftOut, policies }: DropsLeftOut): string {
  return `${node}: ${leftOut} more were refused${policies === undefined ? "" : ` by ${policies.join(", ")}`}, and not told of one by one`;
}

export function formatEnd({ addr, port, pod }: DropEnd): string {
  const place = port === undefined ? addr : addr.includes(":") ? `[${addr}]:${port}` : `${addr}:${port}`;
  return pod === undefined ? place : `${pod} ${place}`;
}

function row(cells: readonly string[]): string {
  return cells
    .map((cell, i) => cell.padEnd(WIDTHS[i] ?? 0))
    .join("  ")
    .trimEnd();
}
