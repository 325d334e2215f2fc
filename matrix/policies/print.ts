// The matrix as text.
import { FAMILIES, type Family } from "#ip";
import type { Case } from "./cases.ts";
import { DESTINATIONS, type Destination, type Verdict } from "./judge.ts";
import type { Protocol } from "./network.ts";

interface Column {
  readonly protocol: Protocol;
  readonly family: Family;
  readonly destination: Destination;
}

function columnsOf(protocols: readonly Protocol[]): Column[] {
  return protocols.flatMap((protocol) =>
    FAMILIES.flatMap((family) => DESTINATIONS.map((destination) => ({ protocol, family, destination }))),
  );
}

const WIDTH = 12;

export function printHeader(protocols: readonly Protocol[]): void {
  const columns = columnsOf(protocols);
  console.log("How many of the 162 (by name: 81) connections are expected to be made / are made, between all pods and ports, by");
  console.log("protocol, family, and what is asked: the pod's address, its Service's, or the Service's name.\n");
  console.log(`${columns.map(({ protocol, family }) => `${protocol} v${family}`.padEnd(WIDTH)).join("")}direction`);
  console.log(`${columns.map(({ destination }) => destination.padEnd(WIDTH)).join("")}policies`);
}

/** One line for each state of a case. */
export function printCase({ name, direction }: Case, state: string, verdicts: readonly Verdict[], protocols: readonly Protocol[]): void {
  const cells = columnsOf(protocols).map(({ protocol, family, destination }) => {
    const own = verdicts.filter((each) => each.protocol === protocol && each.family === family && each.destination === destination);
    const [expected, observed] = [own.filter((each) => each.expected).length, own.filter((each) => each.observed === "answered").length];
    return `${expected}/${observed}${own.every(({ ok }) => ok) ? "" : " ✗"}`.padEnd(WIDTH);
  });
  console.log(`${cells.join("")}${direction.padEnd(8)} ${name}${state}`);
}

const SHOWN = 10;

export function printWrong({ name }: Case, state: string, verdicts: readonly Verdict[]): void {
  const wrong = verdicts.filter(({ ok }) => !ok);
  for (const { from, to, protocol, family, destination, port, expected, foreseen, observed } of wrong.slice(0, SHOWN)) {
    const said = (yes: boolean): string => (yes ? "answered" : "dropped");
    const what = `${from.key} to ${to.key} (${destination}) ${protocol} ${port} IPv${family}`;
    console.log(`✗ ${name}${state}: ${what}: expected ${said(expected)}, model ${said(foreseen)}, kernel ${observed}`);
  }
  if (wrong.length > SHOWN) console.log(`✗ ${name}${state}: and ${wrong.length - SHOWN} more`);
}
