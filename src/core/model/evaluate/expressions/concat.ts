// Concatenations: in the kernel, values in registers side by side (net/netfilter/nf_tables_core.c runs one expression for each).
import { type Expr, exprTypes } from "#nft";
import type { Compiling, Read } from "../evaluation.ts";
import { component } from "../scalar.ts";

type ConcatExpr = Extract<Expr, { kind: "concat" }>;

export function compileConcat({ parts }: ConcatExpr, compiling: Compiling): Read {
  // A part that is itself joined (a concatenation, a map with several values) has all its components already.
  const readers = parts.map((part) => {
    const types = exprTypes(part);
    const [type] = types;
    return { read: compiling.read(part), type: types.length === 1 ? type : undefined };
  });
  return (evaluation) => {
    let key = "";
    for (const { read, type } of readers) {
      const value = read(evaluation);
      if (value === undefined) return undefined;
      key += type === undefined ? String(value) : component(type, value);
    }
    return key;
  };
}
