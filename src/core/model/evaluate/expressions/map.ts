// `key map @map`. Mirrors nft_lookup_eval (net/netfilter/nft_lookup.c): where nothing is found, the rule does not apply.
import type { MapExpr } from "#nft";
import type { Compiling, Read } from "../evaluation.ts";
import { lookUp } from "../lookup.ts";

export function compileMap({ key, map }: MapExpr, compiling: Compiling): Read {
  const set = compiling.set(map);
  const id = `${compiling.table} ${map}`;
  const read = compiling.read(key);
  return (evaluation) => {
    const value = read(evaluation);
    return value === undefined ? undefined : lookUp(evaluation, set, id, value)?.data;
  };
}
