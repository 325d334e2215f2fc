// Comparisons. Mirrors nft_cmp_eval (net/netfilter/nft_cmp.c), also for a name that ends in `*`, of which the kernel compares the
// beginning, and nft_range_eval (net/netfilter/nft_range.c) for intervals.
import { type CompareOp, exprType, isInterval, type Statement } from "#nft";
import type { Act, Compiling, Read } from "../evaluation.ts";
import { type Scalar, scalarOf } from "../scalar.ts";

type MatchStatement = Extract<Statement, { kind: "match" }>;

export function compileMatch({ left, op, right }: MatchStatement, compiling: Compiling): Act {
  const type = exprType(left);
  const read = compiling.read(left);
  if (isInterval(right)) {
    const [first, last] = [scalarOf(type, right.first), scalarOf(type, right.last)];
    return matching(read, (value) => (first <= value && value <= last) === (op === "=="));
  }
  if (type === "ifname" && typeof right === "string" && right.endsWith("*")) {
    const beginning = right.slice(0, -1);
    return matching(read, (value) => String(value).startsWith(beginning) === (op === "=="));
  }
  const compare = COMPARE[op];
  const constant = scalarOf(type, right);
  return matching(read, (value) => compare(value, constant));
}

function matching(read: Read, test: (value: Scalar) => boolean): Act {
  return (evaluation) => {
    const value = read(evaluation);
    return value !== undefined && test(value) ? undefined : "break";
  };
}

const COMPARE: Readonly<Record<CompareOp, (a: Scalar, b: Scalar) => boolean>> = {
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};
