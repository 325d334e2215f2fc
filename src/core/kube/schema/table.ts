import type { Resource } from "../types.ts";
import type { TypeSchema } from "./types.ts";

export type GroupVersionKind = Pick<Resource, "group" | "version" | "kind">;

/** The type of a kind: of all kinds that the API serves, and of those that clients only send, such as DeleteOptions or Scale. */
export function schemaFor(_kind: GroupVersionKind): TypeSchema | undefined {
  return undefined;
}

/** A type by its full name, such as `io.k8s.api.core.v1.PodSpec`. */
export function typeSchema(_name: string): TypeSchema | undefined {
  return undefined;
}
