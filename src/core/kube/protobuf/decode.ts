// Protobuf messages as the JSON form of the same objects: field numbers from numbers/, types from the schema.
import { encodeBase64 } from "../base64.ts";
import { splitTypeName, typeSchema } from "../schema/table.ts";
import { formatSeconds, formatSecondsMicros } from "../schema/time.ts";
import type { FieldSchema, TypeSchema } from "../schema/types.ts";
import { type MessageNumbers, type NumberedField, numbersOf } from "./numbers/index.ts";
import { damaged, Reader, type WireType } from "./reader.ts";

type JsonMap = Record<string, unknown>;

/** A Pod is about ten deep. */
const MAX_DEPTH = 60;

const text: TextDecoder = new TextDecoder("utf-8");

interface Target {
  readonly schema: TypeSchema;
  readonly result: JsonMap;
  readonly path: string;
  readonly depth: number;
}

export class MessageDecoder {
  readonly unknown: string[] = [];

  decode(schema: TypeSchema, bytes: Uint8Array, path = "", depth = 0): JsonMap {
    if (depth > MAX_DEPTH) throw damaged(`${path} is nested more than ${MAX_DEPTH} deep`);
    const { pkg, type } = splitTypeName(schema.name);
    const numbers = numbersOf(pkg, type);
    if (numbers === undefined) throw damaged(`the field numbers of ${schema.name} are not known here; send it as application/json`);
    const result: JsonMap = {};
    this.#message(numbers, bytes, { schema, result, path, depth });
    return result;
  }

  #message(numbers: MessageNumbers, bytes: Uint8Array, target: Target): void {
    const reader = new Reader(bytes);
    while (!reader.done) {
      const { number, wire } = reader.tag();
      const numbered = numbers.get(number);
      if (numbered === undefined) this.#unknown(target, `#${number}`, reader, wire);
      else if (numbered.form === "inlined") this.#inlined(numbered, reader.bytes(), target);
      else this.#field(numbered, reader, wire, target);
    }
  }

  #unknown(target: Target, name: string, reader: Reader, wire: WireType): void {
    this.unknown.push(`unknown field ${JSON.stringify(join(target.path, name))}`);
    reader.skip(wire);
  }

  #inlined(numbered: NumberedField, bytes: Uint8Array, target: Target): void {
    const numbers = numbersOf(splitTypeName(target.schema.name).pkg, numbered.name);
    if (numbers === undefined) throw damaged(`the field numbers of ${numbered.name} are not known here; send it as application/json`);
    this.#message(numbers, bytes, target);
  }

  #field(numbered: NumberedField, reader: Reader, wire: WireType, target: Target): void {
    const { name } = numbered;
    const field = target.schema.fields[name];
    if (field === undefined) {
      this.#unknown(target, name, reader, wire);
      return;
    }
    const path = join(target.path, name);
    const depth = target.depth + 1;
    if (field.type === "array") {
      const list = listAt(target.result, name);
      if (numbered.form === "wrapped") list.push(...itemsOf(reader.bytes()));
      else this.#element(field, reader, wire, { list, path: `${path}[${list.length}]`, depth });
    } else if (field.type === "map") {
      const [key, value] = this.#entry(field, reader.bytes(), numbered, { path, depth });
      setOwn(mapAt(target.result, name), key, value);
    } else {
      const value = this.#value(field, reader, wire, { path, depth });
      if (value !== undefined) target.result[name] = value;
    }
  }

  /** One element of a repeated field; numbers may come packed, many in one piece. */
  #element(field: FieldSchema, reader: Reader, wire: WireType, place: { list: unknown[]; path: string; depth: number }): void {
    const { items } = field;
    if (items === undefined) return;
    if (wire !== 2 || (items.type !== "integer" && items.type !== "boolean")) {
      place.list.push(this.#value(items, reader, wire, place));
      return;
    }
    const packed = new Reader(reader.bytes());
    while (!packed.done) place.list.push(this.#value(items, packed, 0, place));
  }

  #entry(field: FieldSchema, bytes: Uint8Array, numbered: NumberedField, place: { path: string; depth: number }): [string, unknown] {
    const reader = new Reader(bytes);
    let key = "";
    let value: unknown;
    while (!reader.done) {
      const { number, wire } = reader.tag();
      if (number === 1 && wire === 2) key = reader.string();
      else if (number !== 2 || field.items === undefined) reader.skip(wire);
      else if (numbered.form === "wrapped") value = itemsOf(reader.bytes());
      else value = this.#value(field.items, reader, wire, { path: `${place.path}.${key}`, depth: place.depth });
    }
    return [key, value ?? null];
  }

  #value(field: FieldSchema, reader: Reader, wire: WireType, place: { path: string; depth: number }): unknown {
    const expected = wireOf(field);
    if (wire !== expected) throw damaged(`${place.path} has wire type ${wire}, not ${expected}`);
    switch (field.type) {
      case "string":
        return reader.string();
      case "boolean":
        return reader.varint32() !== 0;
      case "integer":
        return field.format === "int32" ? reader.varint32() : reader.varint64();
      case "number":
        return reader.double();
      case "bytes":
        return encodeBase64(reader.bytes());
      case "object": {
        const schema = typeSchema(field.ref ?? "");
        if (schema === undefined) throw damaged(`the type of ${place.path} is not known`);
        return this.decode(schema, reader.bytes(), place.path, place.depth);
      }
      default:
        return specialValue(field, reader.bytes(), place.path);
    }
  }
}

function wireOf(field: FieldSchema): WireType {
  if (field.type === "boolean" || field.type === "integer") return 0;
  return field.type === "number" ? 1 : 2;
}

/** Messages whose JSON form is not an object. */
function specialValue(field: FieldSchema, bytes: Uint8Array, path: string): unknown {
  switch (field.type) {
    case "time":
    case "microTime":
      return instant(bytes, field.type === "microTime");
    case "quantity":
      return firstPiece(bytes, (piece) => text.decode(piece)) ?? "0";
    case "intOrString":
      return intOrString(bytes);
    case "any":
      return firstPiece(bytes, (piece) => parseRaw(piece, path));
    default:
      throw damaged(`${path} cannot be of type ${field.type}`);
  }
}

/** {seconds=1 nanos=2}; an empty message is Go's zero time, which JSON leaves out. */
function instant(bytes: Uint8Array, micro: boolean): string | undefined {
  if (bytes.length === 0) return undefined;
  const reader = new Reader(bytes);
  let seconds = 0;
  let nanos = 0;
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 0) seconds = reader.varint64();
    else if (number === 2 && wire === 0) nanos = reader.varint32();
    else reader.skip(wire);
  }
  // What Date and RFC 3339 can say.
  if (seconds < -62_135_596_800 || seconds > 253_402_300_799) throw damaged(`a time of ${seconds} seconds is out of range`);
  return micro ? formatSecondsMicros(seconds, Math.floor(nanos / 1000)) : formatSeconds(seconds);
}

/** {type=1 intVal=2 strVal=3} */
function intOrString(bytes: Uint8Array): number | string {
  const reader = new Reader(bytes);
  let isString = false;
  let int = 0;
  let string = "";
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 0) isString = reader.varint32() === 1;
    else if (number === 2 && wire === 0) int = reader.varint32();
    else if (number === 3 && wire === 2) string = reader.string();
    else reader.skip(wire);
  }
  return isString ? string : int;
}

/** Field 1 of messages that wrap one text or byte string: Quantity, RawExtension, FieldsV1. */
function firstPiece<T>(bytes: Uint8Array, read: (piece: Uint8Array) => T): T | undefined {
  const reader = new Reader(bytes);
  let value: T | undefined;
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) value = read(reader.bytes());
    else reader.skip(wire);
  }
  return value;
}

function parseRaw(piece: Uint8Array, path: string): unknown {
  try {
    const value: unknown = JSON.parse(text.decode(piece));
    return value;
  } catch {
    throw damaged(`${path} does not hold JSON`);
  }
}

/** {items=1}: a list that protobuf cannot put into a map. */
function itemsOf(bytes: Uint8Array): string[] {
  const reader = new Reader(bytes);
  const items: string[] = [];
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) items.push(reader.string());
    else reader.skip(wire);
  }
  return items;
}

function listAt(result: JsonMap, name: string): unknown[] {
  const list = result[name];
  if (Array.isArray(list)) return list;
  const fresh: unknown[] = [];
  result[name] = fresh;
  return fresh;
}

function mapAt(result: JsonMap, name: string): JsonMap {
  const map = result[name];
  if (typeof map === "object" && map !== null) return map as JsonMap;
  const fresh: JsonMap = {};
  result[name] = fresh;
  return fresh;
}

/** Also for the key `__proto__`. */
function setOwn(map: JsonMap, key: string, value: unknown): void {
  Object.defineProperty(map, key, { value, enumerable: true, writable: true, configurable: true });
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
