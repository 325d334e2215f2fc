// One stored version of one object: parsed for those who look inside, serialised once for everybody who reads it.
import type { StoredMeta } from "#kube";
import type { Codec } from "#store";

/** The types of the API mark what only the server sets as read-only; this is the server. */
export type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** An object as the registry handles it: fields beyond the metadata are looked at by the strategies of its kind only. */
export interface ApiObject {
  apiVersion: string;
  kind: string;
  metadata: Writable<StoredMeta>;
  [field: string]: unknown;
}

/**
 * Immutable. Holds the JSON that clients get (kind and apiVersion first, then metadata), and parses it when somebody looks inside; what was
 * just written is held parsed and serialised when it is logged.
 */
export class ObjectVersion {
  #object: ApiObject | undefined;
  #json: Buffer | undefined;

  private constructor(object: ApiObject | undefined, json: Buffer | undefined) {
    this.#object = object;
    this.#json = json;
  }

  /** Takes the object over: nobody changes it from here on. */
  static of(object: ApiObject): ObjectVersion {
    const { kind, apiVersion, metadata, ...rest } = object;
    return new ObjectVersion({ kind, apiVersion, metadata, ...rest }, undefined);
  }

  static fromJson(json: Uint8Array): ObjectVersion {
    return new ObjectVersion(undefined, Buffer.from(json.buffer, json.byteOffset, json.byteLength));
  }

  get object(): ApiObject {
    this.#object ??= JSON.parse(this.json.toString("utf8")) as ApiObject;
    return this.#object;
  }

  get json(): Buffer {
    this.#json ??= Buffer.from(JSON.stringify(this.#object), "utf8");
    return this.#json;
  }

  /**
   * The JSON after its opening `{"kind":…,"apiVersion":…,`, which takes `headBytes` bytes: items of typed lists leave those two out, since they
   * are the list's (apimachinery does so too).
   */
  tail(headBytes: number): Buffer {
    return this.json.subarray(headBytes);
  }

  /** As deletion events show it: the last state with the revision of the deletion. */
  at(revision: number): ObjectVersion {
    const object = this.object;
    return new ObjectVersion({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } }, undefined);
  }
}

export const VERSION_CODEC: Codec<ObjectVersion> = {
  encode: (version) => version.json,
  decode: (json) => ObjectVersion.fromJson(json),
  stamp: (version, revision) => version.at(revision),
};

/** How many bytes `{"kind":"Pod","apiVersion":"v1",` has. */
export function headBytesOf(kind: string, apiVersion: string): number {
  return Buffer.byteLength(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},`);
}
