// `key vmap @map`. Mirrors nft_lookup_eval (net/netfilter/nft_lookup.c) into the verdict register.
import type { Statement } from "#nft";
import type { Act, Compiling } from "../evaluation.ts";
import { lookUp } from "../lookup.ts";

export function compileVmap({ key, map }: Extract<Statement, { kind: "vmap" }>, compiling: Compiling): Act {
  const set = compiling.set(map);
  const id = `${compiling.table} ${map}`;
  const read = compiling.read(key);
  return (evaluation) => {
    const value = read(evaluation);
    if (value === undefined) return "break";
    return lookUp(evaluation, set, id, value)?.verdict ?? "break";
  };
}
