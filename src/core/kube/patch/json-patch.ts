// JSON Patch, RFC 6902, with JSON Pointer, RFC 6901. An operation copies only the objects and arrays on its path.
import { getOwn, isArray, isObject, type Json, type JsonArray, jsonEquals, PatchError } from "./json.ts";

interface Operation {
  readonly op: "add" | "remove" | "replace" | "move" | "copy" | "test";
  readonly path: string;
  readonly from: string;
  readonly value: Json;
}

type Edit = (container: Json, key: string) => Json;

/** As many operations as kube-apiserver accepts (`endpoints/handlers/patch.go` maxJSONPatchOperations). */
const MAX_OPERATIONS = 10_000;
const OPS: ReadonlySet<string> = new Set(["add", "remove", "replace", "move", "copy", "test"]);

/** Applies all operations or throws PatchError, without changing `document`. */
export function applyJsonPatch(document: Json, patch: Json): Json {
  if (!isArray(patch)) throw new PatchError("BadRequest", "a JSON patch must be an array of operations (RFC 6902)");
  if (patch.length > MAX_OPERATIONS) {
    throw new PatchError("BadRequest", `the allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`);
  }
  return patch.map(parseOperation).reduce(applyOperation, document);
}

function parseOperation(item: Json, index: number): Operation {
  const wrong = (what: string): PatchError => new PatchError("BadRequest", `operation ${index} of the JSON patch: ${what}`);
  if (!isObject(item)) throw wrong("is not an object");
  const op = getOwn(item, "op");
  const path = getOwn(item, "path");
  const from = getOwn(item, "from");
  if (typeof op !== "string" || !OPS.has(op)) throw wrong(`"op" is ${JSON.stringify(op)}, not add, remove, replace, move, copy or test`);
  if (typeof path !== "string") throw wrong('"path" is missing');
  const needsFrom = op === "move" || op === "copy";
  if (needsFrom && typeof from !== "string") throw wrong(`"from" is missing in ${op}`);
  const value = getOwn(item, "value");
  const needsValue = op === "add" || op === "replace" || op === "test";
  if (needsValue && value === undefined) throw wrong(`"value" is missing in ${op}`);
  return { op: op as Operation["op"], path, from: typeof from === "string" ? from : "", value: value ?? null };
}

function applyOperation(document: Json, { op, path, from, value }: Operation): Json {
  switch (op) {
    case "add":
      return addAt(document, path, value);
    case "remove":
      return removeAt(document, path);
    case "replace":
      return path === "" ? value : editAt(document, path, replaceIn(path, value));
    case "move":
      if (path.startsWith(`${from}/`)) throw invalid(`cannot move ${from} into its own child ${path}`);
      return path === from ? readMoved(document, from) : addAt(removeAt(document, from), path, readAt(document, from));
    case "copy":
      return addAt(document, path, readAt(document, from));
    case "test":
      if (!jsonEquals(readAt(document, path), value)) throw invalid(`testing value ${path} failed`);
      return document;
  }
}

function readMoved(document: Json, from: string): Json {
  readAt(document, from);
  return document;
}

function invalid(message: string): PatchError {
  return new PatchError("Invalid", message);
}

function parsePointer(pointer: string): string[] {
  if (pointer === "") return [];
  if (!pointer.startsWith("/")) throw new PatchError("BadRequest", `path "${pointer}" does not begin with "/" (RFC 6901)`);
  return pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function readAt(document: Json, pointer: string): Json {
  let at = document;
  for (const key of parsePointer(pointer)) at = child(at, key, pointer);
  return at;
}

function child(container: Json, key: string, pointer: string): Json {
  const value = isArray(container) ? container[indexOf(container, key, pointer)] : isObject(container) ? getOwn(container, key) : undefined;
  if (value === undefined) throw invalid(`${pointer}: the object has no "${key}" there`);
  return value;
}

/** RFC 6901 §4: digits without leading zeros. `limit` is one past the last index allowed. */
function indexOf(array: JsonArray, key: string, pointer: string, limit: number = array.length): number {
  if (!/^(0|[1-9]\d*)$/.test(key)) throw invalid(`${pointer}: "${key}" is not an array index`);
  const index = Number(key);
  if (index >= limit) throw invalid(`${pointer}: index ${key} is out of bounds of an array of ${array.length}`);
  return index;
}

/** `document` with the container that holds the pointer's last key replaced by what `edit` makes of it. */
function editAt(document: Json, pointer: string, edit: Edit): Json {
  const keys = parsePointer(pointer);
  const last = keys.pop() ?? "";
  const descend = (at: Json, depth: number): Json => {
    const key = keys[depth];
    if (key === undefined) return edit(at, last);
    const inner = descend(child(at, key, pointer), depth + 1);
    return isArray(at) ? at.with(Number(key), inner) : isObject(at) ? { ...at, [key]: inner } : at;
  };
  return descend(document, 0);
}

function addAt(document: Json, pointer: string, value: Json): Json {
  if (pointer === "") return value;
  return editAt(document, pointer, (container, key) => {
    if (isArray(container)) {
      const index = key === "-" ? container.length : indexOf(container, key, pointer, container.length + 1);
      return container.toSpliced(index, 0, value);
    }
    if (!isObject(container)) throw invalid(`${pointer}: cannot add to a ${typeof container}`);
    return { ...container, [key]: value };
  });
}

function removeAt(document: Json, pointer: string): Json {
  if (pointer === "") throw invalid("cannot remove the whole document");
  return editAt(document, pointer, (container, key) => {
    child(container, key, pointer);
    if (isArray(container)) return container.toSpliced(Number(key), 1);
    return Object.fromEntries(Object.entries(isObject(container) ? container : {}).filter(([name]) => name !== key));
  });
}

function replaceIn(pointer: string, value: Json): Edit {
  return (container, key) => {
    child(container, key, pointer);
    if (isArray(container)) return container.with(Number(key), value);
    return isObject(container) ? { ...container, [key]: value } : container;
  };
}
