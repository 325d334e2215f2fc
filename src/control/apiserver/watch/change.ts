import type { StoreEvent } from "#store";
import type { Served } from "../registry/types.ts";
import type { ObjectVersion } from "../registry/version.ts";

export type ChangeType = "ADDED" | "MODIFIED" | "DELETED";

/** One change of one object, in the form of one resource; its lines are serialised once and shared by all watchers. */
export class Change {
  readonly key: string;
  readonly revision: number;
  readonly current: ObjectVersion | undefined;
  readonly previous: ObjectVersion | undefined;
  readonly #lines = new Map<ChangeType, Buffer>();
  #last: ObjectVersion | undefined;

  constructor(served: Served, event: StoreEvent<ObjectVersion>) {
    this.key = event.key;
    this.revision = event.revision;
    this.current = event.type === "put" ? served.present(event.entry.value) : undefined;
    this.previous = event.previous === undefined ? undefined : served.present(event.previous.value);
  }

  /** What watchers get as DELETED: the last state that they knew, at the revision of this change. */
  get last(): ObjectVersion | undefined {
    this.#last ??= this.previous?.at(this.revision);
    return this.#last;
  }

  line(type: ChangeType): Buffer {
    const known = this.#lines.get(type);
    if (known !== undefined) return known;
    const version = type === "DELETED" ? this.last : this.current;
    const line = version === undefined ? Buffer.alloc(0) : eventLine(type, version.json);
    this.#lines.set(type, line);
    return line;
  }
}

/** `{"type":"ADDED","object":{…}}` and a newline, which frames JSON watch streams. */
export function eventLine(type: string, objectJson: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`{"type":"${type}","object":`), objectJson, END_OF_LINE]);
}

const END_OF_LINE = Buffer.from("}\n");
