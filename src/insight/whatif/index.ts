/** The exact difference that a change makes to who reaches whom, before it is made. */
export { partition } from "./atoms.ts";
export { PortSets } from "./ports.ts";
export { Reach } from "./reach.ts";
export type * from "./types.ts";
