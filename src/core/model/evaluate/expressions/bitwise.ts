// `(of & mask) ^ xor`. Mirrors nft_bitwise_eval_mask_xor (net/netfilter/nft_bitwise.c).
import { type Expr, exprType } from "#nft";
import type { Compiling, Read } from "../evaluation.ts";
import { type Scalar, scalarOf } from "../scalar.ts";

type BitwiseExpr = Extract<Expr, { kind: "bitwise" }>;

export function compileBitwise({ of, mask, xor }: BitwiseExpr, compiling: Compiling): Read {
  const type = exprType(of);
  const read = compiling.read(of);
  const maskBits = scalarOf(type, mask);
  const xorBits = xor === undefined ? undefined : scalarOf(type, xor);
  return (evaluation) => {
    const value = read(evaluation);
    return value === undefined ? undefined : masked(value, maskBits, xorBits);
  };
}

function masked(value: Scalar, mask: Scalar, xor: Scalar | undefined): Scalar {
  if (typeof value === "number") return ((value & Number(mask)) ^ Number(xor ?? 0)) >>> 0;
  let text = "";
  for (let i = 0; i < value.length; i++) {
    text += String.fromCharCode((value.charCodeAt(i) & unitAt(mask, i)) ^ (xor === undefined ? 0 : unitAt(xor, i)));
  }
  return text;
}

function unitAt(scalar: Scalar, i: number): number {
  return typeof scalar === "string" && i < scalar.length ? scalar.charCodeAt(i) : 0;
}
