/** The exact difference that a change makes to who reaches whom, before it is made. */
export { type Answer, whatIf } from "./answer.ts";
export { type Atom, partition } from "./atoms.ts";
export { applyChanges, type ChangedObject } from "./change.ts";
export { type LiveConnection, podFinder } from "./connections.ts";
export { type Expectation, type PortExpectation, parseExpectations, parsePortExpectation } from "./expectations.ts";
export { NO_OBJECTS, type Objects, worldOf } from "./objects.ts";
export { formatPoint, formatPorts, PortSets, pointOf } from "./ports.ts";
export { Reach } from "./reach.ts";
export { type Cell, type TablePort, truthTable } from "./table.ts";
export { answerJson, formatAnswer } from "./text.ts";
export type * from "./types.ts";
export { type Broken, verify } from "./verify.ts";
