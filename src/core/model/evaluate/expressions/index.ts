import type { Expr } from "#nft";
import type { Compiling, Read } from "../evaluation.ts";
import { compileBitwise } from "./bitwise.ts";
import { compileConcat } from "./concat.ts";
import { compileCt } from "./ct.ts";
import { compileFib } from "./fib.ts";
import { compileHash } from "./hash.ts";
import { compileMap } from "./map.ts";
import { compileMeta } from "./meta.ts";
import { compileNumgen } from "./numgen.ts";
import { compilePayload } from "./payload.ts";
import { compileValue } from "./value.ts";

/** Everything that can be known before a packet comes is done here; what is left runs for each packet. */
export function compileExpr(expr: Expr, compiling: Compiling): Read {
  switch (expr.kind) {
    case "payload":
      return compilePayload(expr.field);
    case "meta":
      return compileMeta(expr.key);
    case "ct":
      return compileCt(expr.key, expr.direction);
    case "fib":
      return compileFib(expr);
    case "numgen":
      return compileNumgen(expr);
    case "jhash":
    case "symhash":
      return compileHash(expr, compiling);
    case "concat":
      return compileConcat(expr, compiling);
    case "bitwise":
      return compileBitwise(expr, compiling);
    case "value":
      return compileValue(expr);
    case "map":
      return compileMap(expr, compiling);
  }
}
