// Bodies of type application/vnd.kubernetes.protobuf, which every typed client-go client from 0.32 on sends. Decode only: the answers
// may be JSON, because those clients accept both.
import { InputError } from "#base";
import { schemaFor } from "../schema/table.ts";
import type { KubeObject } from "../types.ts";
import { MessageDecoder } from "./decode.ts";
import { damaged, Reader } from "./reader.ts";

export interface DecodedProtobuf {
  readonly apiVersion: string;
  readonly kind: string;
  /** In the JSON form, with apiVersion and kind. Go sends zero values too: they go away in decodeObject, which comes next. */
  readonly object: KubeObject;
  /** Fields whose numbers are not in our table, as `unknown field "spec.#47"`. */
  readonly unknown: readonly string[];
}

/** The content type, without parameters. */
export const PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf";

/** Whether a body begins as `application/vnd.kubernetes.protobuf` does: `k8s` and a zero byte. */
export function isProtobuf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x6b && bytes[1] === 0x38 && bytes[2] === 0x73 && bytes[3] === 0;
}

/** runtime.Unknown {typeMeta=1 raw=2 contentEncoding=3 contentType=4}, TypeMeta {apiVersion=1 kind=2}. */
interface Envelope {
  apiVersion: string;
  kind: string;
  raw: Uint8Array;
  contentEncoding: string;
  contentType: string;
}

function readEnvelope(bytes: Uint8Array): Envelope {
  const envelope: Envelope = { apiVersion: "", kind: "", raw: new Uint8Array(), contentEncoding: "", contentType: "" };
  const reader = new Reader(bytes.subarray(4));
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (wire !== 2) reader.skip(wire);
    else if (number === 1) readTypeMeta(reader.bytes(), envelope);
    else if (number === 2) envelope.raw = reader.bytes();
    else if (number === 3) envelope.contentEncoding = reader.string();
    else if (number === 4) envelope.contentType = reader.string();
    else reader.skip(wire);
  }
  return envelope;
}

function readTypeMeta(bytes: Uint8Array, envelope: Envelope): void {
  const reader = new Reader(bytes);
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) envelope.apiVersion = reader.string();
    else if (number === 2 && wire === 2) envelope.kind = reader.string();
    else reader.skip(wire);
  }
}

/** Reads an `application/vnd.kubernetes.protobuf` body. Throws InputError when the bytes are damaged or the kind has no table. */
export function decodeProtobuf(bytes: Uint8Array): DecodedProtobuf {
  if (!isProtobuf(bytes)) throw damaged('it does not begin with "k8s" and a zero byte');
  const { apiVersion, kind, raw, contentEncoding, contentType } = readEnvelope(bytes);
  if (contentEncoding !== "") throw damaged(`its content encoding ${JSON.stringify(contentEncoding)} is not supported`);
  if (contentType === "application/json") return decodeRawJson(apiVersion, kind, raw);
  const slash = apiVersion.indexOf("/");
  const schema = schemaFor({ group: apiVersion.slice(0, Math.max(slash, 0)), version: apiVersion.slice(slash + 1), kind });
  if (schema === undefined) {
    throw new InputError(
      "body",
      `kind ${JSON.stringify(kind)} of ${JSON.stringify(apiVersion)} cannot be read as protobuf; send application/json`,
    );
  }
  const decoder = new MessageDecoder();
  const object: KubeObject = { apiVersion, kind, ...decoder.decode(schema, raw) };
  return { apiVersion, kind, object, unknown: decoder.unknown };
}

function decodeRawJson(apiVersion: string, kind: string, raw: Uint8Array): DecodedProtobuf {
  try {
    const object: KubeObject = JSON.parse(new TextDecoder().decode(raw));
    return { apiVersion, kind, object: { ...object, apiVersion, kind }, unknown: [] };
  } catch {
    throw damaged("its content is not the JSON that it says it is");
  }
}
