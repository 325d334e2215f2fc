import type { GroupVersionKind } from "../schema/table.ts";
import type { KubeObject } from "../types.ts";

/** Sets what the API sets where the user said nothing, in `object` itself, before validation, on create and on update. */
export function applyDefaults(_kind: GroupVersionKind, _object: KubeObject): void {}
