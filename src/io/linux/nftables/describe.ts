import { type Change, formatElement, formatRule } from "#nft";

/** What a change attempts, as it reads after "Cannot". */
export function describe(change: Change, elementIndex?: number): string {
  const table = `${change.table.family} ${change.table.name}`;
  switch (change.op) {
    case "add table":
    case "delete table":
      return `${change.op} ${table}`;
    case "add set":
      return `add ${change.set.data === undefined ? "set" : "map"} ${table} ${change.set.name}`;
    case "delete set":
      return `delete set ${table} ${change.set}`;
    case "add rule":
      return `add rule ${table} ${change.chain} ${formatRule(change.rule)}`;
    case "add elements":
    case "delete elements": {
      const element = elementIndex === undefined ? undefined : change.elements[elementIndex];
      const what = element === undefined ? `${change.elements.length} elements` : `element { ${formatElement(change.set, element)} }`;
      return `${change.op === "add elements" ? "add" : "delete"} ${what} ${change.op === "add elements" ? "to" : "from"} ${table} ${change.set.name}`;
    }
    default:
      return `${change.op} ${table} ${change.chain}`;
  }
}
