// `add @set { … }`, `update`, `delete`. Mirrors nft_dynset_eval (net/netfilter/nft_dynset.c): an element that is there keeps its data;
// `update` begins its time anew; where a set is full, the rule ends.
import { exprTypes, type Statement } from "#nft";
import type { Act, Compiling } from "../evaluation.ts";
import { lookUp } from "../lookup.ts";
import { parted } from "../scalar.ts";

type DynsetStatement = Extract<Statement, { kind: "dynset" }>;

export function compileDynset({ op, set: name, key, data, timeoutMs }: DynsetStatement, compiling: Compiling): Act {
  const set = compiling.set(name);
  const id = `${compiling.table} ${name}`;
  const readKey = compiling.read(key);
  const readData = data === undefined ? undefined : compiling.read(data);
  const dataTypes = data === undefined ? [] : exprTypes(data);
  const lifeMs = timeoutMs ?? set.header.timeoutMs;
  return (evaluation) => {
    const at = readKey(evaluation);
    if (at === undefined) return "break";
    if (op === "delete") {
      evaluation.dynamic.remove(id, at);
      return undefined;
    }
    const value = readData?.(evaluation);
    if (readData !== undefined && value === undefined) return "break";
    const present = lookUp(evaluation, set, id, at);
    if (present !== undefined && (op === "add" || lifeMs === undefined)) return undefined;
    const values = present?.values ?? (value === undefined ? undefined : parted(dataTypes, value));
    const expiresMs = lifeMs === undefined ? undefined : evaluation.now + lifeMs;
    const entry = { key: at, ...(values !== undefined && { data: values }), ...(expiresMs !== undefined && { expiresMs }) };
    return evaluation.dynamic.put(set, id, entry) ? undefined : "break";
  };
}
