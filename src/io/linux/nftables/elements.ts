// Elements of sets and maps to messages and back.
//
// An interval has two forms in the kernel. Sets with one key component are trees of boundaries: an element where the interval begins,
// and one marked INTERVAL_END at the first value after it. Sets with a concatenated key have KEY and KEY_END, both inclusive.
import {
  DATATYPES,
  type Datatype,
  type Element,
  type Interval,
  isInterval,
  keyBytes,
  paddedBytes,
  readValue,
  type SetHeader,
  type TableId,
  type Value,
  type Verdict,
  writeValue,
} from "#nft";
import type { AttrReader, MessageWriter } from "../netlink/index.ts";
import {
  NFT_MSG_DELSETELEM,
  NFT_MSG_NEWSETELEM,
  NFT_SET_ELEM_INTERVAL_END,
  NFTA_DATA_VALUE,
  NFTA_DATA_VERDICT,
  NFTA_LIST_ELEM,
  NFTA_SET_ELEM_DATA,
  NFTA_SET_ELEM_EXPIRATION,
  NFTA_SET_ELEM_FLAGS,
  NFTA_SET_ELEM_KEY,
  NFTA_SET_ELEM_KEY_END,
  NFTA_SET_ELEM_LIST_ELEMENTS,
  NFTA_SET_ELEM_LIST_SET,
  NFTA_SET_ELEM_LIST_TABLE,
  NFTA_SET_ELEM_TIMEOUT,
  NFTA_SET_ELEM_USERDATA,
  NFTA_VERDICT_CHAIN,
  NFTA_VERDICT_CODE,
  VERDICTS,
} from "../uapi/nf-tables.ts";
import { encodeVerdict } from "./encode-expr.ts";
import { beginMessage } from "./message.ts";
import { decodeComment, encodeComment } from "./userdata.ts";

const NO_BYTES = new Uint8Array(0);

/** The list of elements is one attribute, whose length has 16 bits; an element takes less than 1,000 bytes. */
const LIST_BYTES = 64_000;

export interface ElementsChange {
  readonly op: "add elements" | "delete elements";
  readonly table: TableId;
  readonly set: SetHeader;
  readonly elements: readonly Element[];
}

/** Writes as many messages as the list needs, each at most 64 KiB long. */
export function encodeElements(w: MessageWriter, change: ElementsChange): void {
  const { table, set, elements } = change;
  const type = change.op === "add elements" ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
  const encoder = new ElementEncoder(w, set, change.op === "add elements");
  for (let i = 0; i < elements.length; ) {
    beginMessage(w, type, table.family);
    w.string(NFTA_SET_ELEM_LIST_TABLE, table.name).string(NFTA_SET_ELEM_LIST_SET, set.name);
    const list = w.openNest(NFTA_SET_ELEM_LIST_ELEMENTS);
    const start = w.byteLength;
    for (; i < elements.length && w.byteLength - start < LIST_BYTES; i++) {
      const element = elements[i];
      if (element !== undefined) encoder.write(element);
    }
    w.closeNest(list);
    w.end();
  }
}

class ElementEncoder {
  readonly #w: MessageWriter;
  readonly #set: SetHeader;
  readonly #withData: boolean;
  readonly #key: Uint8Array;
  readonly #end: Uint8Array;
  readonly #data: Uint8Array;
  readonly #intervals: "none" | "tree" | "concat";
  #comment: string | undefined;
  #commentBytes: Uint8Array = NO_BYTES;

  constructor(w: MessageWriter, set: SetHeader, withData: boolean) {
    this.#w = w;
    this.#set = set;
    this.#withData = withData;
    this.#key = new Uint8Array(keyBytes(set.key));
    this.#end = new Uint8Array(keyBytes(set.key));
    this.#data = new Uint8Array(set.data === undefined || set.data === "verdict" ? 0 : keyBytes(set.data));
    this.#intervals = intervalsOf(set);
  }

  write(element: Element): void {
    writeParts(this.#key, this.#set.key, element.key, "first");
    if (this.#intervals !== "none") writeParts(this.#end, this.#set.key, element.key, "last");
    const w = this.#w;
    const at = w.openNest(NFTA_LIST_ELEM);
    this.#value(NFTA_SET_ELEM_KEY, this.#key);
    if (this.#intervals === "concat") this.#value(NFTA_SET_ELEM_KEY_END, this.#end);
    if (this.#withData) this.#rest(element);
    w.closeNest(at);
    if (this.#intervals === "tree" && increment(this.#end)) {
      const end = w.openNest(NFTA_LIST_ELEM);
      this.#value(NFTA_SET_ELEM_KEY, this.#end);
      w.u32be(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
      w.closeNest(end);
    }
  }

  /** Elements of one object come together, and have the same comment. */
  #userdata(comment: string): Uint8Array {
    if (comment !== this.#comment) {
      this.#comment = comment;
      this.#commentBytes = encodeComment(comment);
    }
    return this.#commentBytes;
  }

  #value(attr: number, bytes: Uint8Array): void {
    const at = this.#w.openNest(attr);
    this.#w.attrBytes(NFTA_DATA_VALUE, bytes);
    this.#w.closeNest(at);
  }

  #rest(element: Element): void {
    const w = this.#w;
    const { data, comment, timeoutMs, expiresMs } = element;
    if (data !== undefined && "kind" in data) encodeVerdict(w, NFTA_SET_ELEM_DATA, data);
    else if (data !== undefined && this.#set.data !== undefined && this.#set.data !== "verdict") {
      writeParts(this.#data, this.#set.data, data, "first");
      this.#value(NFTA_SET_ELEM_DATA, this.#data);
    }
    if (timeoutMs !== undefined) w.u64be(NFTA_SET_ELEM_TIMEOUT, timeoutMs);
    if (expiresMs !== undefined) w.u64be(NFTA_SET_ELEM_EXPIRATION, expiresMs);
    if (comment !== undefined) w.attrBytes(NFTA_SET_ELEM_USERDATA, this.#userdata(comment));
  }
}

function intervalsOf(set: SetHeader): "none" | "tree" | "concat" {
  if (set.flags?.includes("interval") !== true) return "none";
  return set.key.length === 1 ? "tree" : "concat";
}

function writeParts(out: Uint8Array, types: readonly Datatype[], parts: readonly (Value | Interval)[], side: "first" | "last"): void {
  let at = 0;
  for (let i = 0; i < types.length; i++) {
    const type = types[i];
    const part = parts[i];
    if (type === undefined || part === undefined) continue;
    writeValue(out, at, type, isInterval(part) ? part[side] : part);
    at += paddedBytes(type);
  }
}

/** Adds one to a number in network order; false when it was the last one. */
function increment(bytes: Uint8Array): boolean {
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = ((bytes[i] ?? 0) + 1) & 0xff;
    if (bytes[i] !== 0) return true;
  }
  return false;
}

function decrement(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  for (let i = out.length - 1; i >= 0; i--) {
    const byte = out[i] ?? 0;
    out[i] = (byte - 1) & 0xff;
    if (byte !== 0) break;
  }
  return out;
}

/** An element as it was dumped: one of the set, or a boundary of an interval. */
interface RawElement {
  key: Uint8Array;
  keyEnd?: Uint8Array;
  isEnd: boolean;
  rest: Omit<Element, "key">;
}

/** Collects the elements of one set from the messages of its dump. */
export class ElementDecoder {
  readonly #set: SetHeader;
  readonly #raw: RawElement[] = [];

  constructor(set: SetHeader) {
    this.#set = set;
  }

  /** Takes the attributes of one NFT_MSG_NEWSETELEM. */
  add(attrs: AttrReader): void {
    while (attrs.next()) {
      if (attrs.type !== NFTA_SET_ELEM_LIST_ELEMENTS) continue;
      const list = attrs.nested();
      while (list.next()) this.#raw.push(this.#decode(list.nested()));
    }
  }

  static merge(set: SetHeader, parts: readonly ElementDecoder[]): ElementDecoder {
    const all = new ElementDecoder(set);
    for (const part of parts) for (const raw of part.#raw) all.#raw.push(raw);
    return all;
  }

  /** Whether a key was dumped twice. Sets with intervals are trees, whose boundaries may share a key. */
  get hasRepeats(): boolean {
    if (intervalsOf(this.#set) !== "none") return false;
    const seen = new Set<string>();
    return this.addKeys(seen) !== seen.size;
  }

  /** Adds the keys to `seen`, and returns how many there are. */
  addKeys(seen: Set<string>): number {
    for (const { key } of this.#raw) seen.add(String.fromCharCode(...key));
    return this.#raw.length;
  }

  elements(): Element[] {
    const { key } = this.#set;
    if (intervalsOf(this.#set) === "tree") return this.#pairs();
    return this.#raw.map((raw) => ({ key: readParts(key, raw.key, raw.keyEnd), ...raw.rest }));
  }

  #decode(attrs: AttrReader): RawElement {
    const rest: { -readonly [K in keyof Omit<Element, "key">]: Element[K] } = {};
    const raw: RawElement = { key: NO_BYTES, isEnd: false, rest };
    while (attrs.next()) {
      switch (attrs.type) {
        case NFTA_SET_ELEM_KEY:
          raw.key = dataValue(attrs);
          break;
        case NFTA_SET_ELEM_KEY_END:
          raw.keyEnd = dataValue(attrs);
          break;
        case NFTA_SET_ELEM_DATA:
          rest.data = decodeElementData(this.#set, attrs);
          break;
        case NFTA_SET_ELEM_FLAGS:
          raw.isEnd = (attrs.u32be() & NFT_SET_ELEM_INTERVAL_END) !== 0;
          break;
        case NFTA_SET_ELEM_TIMEOUT:
          rest.timeoutMs = Number(attrs.u64be());
          break;
        case NFTA_SET_ELEM_EXPIRATION:
          rest.expiresMs = Number(attrs.u64be());
          break;
        case NFTA_SET_ELEM_USERDATA: {
          const comment = decodeComment(attrs.bytes());
          if (comment !== undefined) rest.comment = comment;
        }
      }
    }
    return raw;
  }

  /** Boundaries in order: each beginning goes with the end that follows it. */
  #pairs(): Element[] {
    const [type] = this.#set.key;
    if (type === undefined) return [];
    const sorted = this.#raw.sort((a, b) => Buffer.compare(a.key, b.key) || Number(b.isEnd) - Number(a.isEnd));
    return sorted.flatMap((raw, i) => {
      if (raw.isEnd) return [];
      const next = sorted[i + 1];
      const last = next === undefined ? new Uint8Array(raw.key.length).fill(0xff) : decrement(next.key);
      return [{ key: readParts([type], raw.key, last), ...raw.rest }];
    });
  }
}

function dataValue(attrs: AttrReader): Uint8Array {
  const nested = attrs.nested();
  while (nested.next()) if (nested.type === NFTA_DATA_VALUE) return nested.bytes();
  return NO_BYTES;
}

function decodeElementData(set: SetHeader, attrs: AttrReader): readonly Value[] | Verdict {
  if (set.data === "verdict") return decodeVerdict(attrs);
  const bytes = dataValue(attrs);
  let at = 0;
  return (set.data ?? []).map((type) => {
    const value = readValue(bytes, at, type);
    at += paddedBytes(type);
    return value;
  });
}

/** Reads a verdict out of an attribute that holds NFTA_DATA_VERDICT. */
export function decodeVerdict(attrs: AttrReader): Verdict {
  const nested = attrs.nested();
  let code = 0;
  let chain = "";
  while (nested.next()) {
    if (nested.type !== NFTA_DATA_VERDICT) continue;
    const verdict = nested.nested();
    while (verdict.next()) {
      if (verdict.type === NFTA_VERDICT_CODE) code = verdict.u32be() | 0;
      else if (verdict.type === NFTA_VERDICT_CHAIN) chain = verdict.string();
    }
  }
  if (code === VERDICTS.jump) return { kind: "jump", chain };
  if (code === VERDICTS.goto) return { kind: "goto", chain };
  if (code === VERDICTS.accept) return { kind: "accept" };
  if (code === VERDICTS.return) return { kind: "return" };
  return { kind: code === VERDICTS.continue ? "continue" : "drop" };
}

function readParts(types: readonly Datatype[], key: Uint8Array, end: Uint8Array | undefined): (Value | Interval)[] {
  let at = 0;
  return types.map((type) => {
    const first = readValue(key, at, type);
    const bytes = DATATYPES[type].bytes;
    const isSingle = end === undefined || Buffer.compare(key.subarray(at, at + bytes), end.subarray(at, at + bytes)) === 0;
    const part = isSingle ? first : { first, last: readValue(end, at, type) };
    at += paddedBytes(type);
    return part;
  });
}
