import type { Statement } from "#nft";
import type { Act, Compiling } from "../evaluation.ts";
import { compileCounter } from "./counter.ts";
import { compileDynset } from "./dynset.ts";
import { compileIn } from "./in.ts";
import { compileLimit } from "./limit.ts";
import { compileLog } from "./log.ts";
import { compileMasquerade } from "./masquerade.ts";
import { compileMatch } from "./match.ts";
import { compileNat } from "./nat.ts";
import { compileNotrack } from "./notrack.ts";
import { compileOther } from "./other.ts";
import { compileRedirect } from "./redirect.ts";
import { compileReject } from "./reject.ts";
import { compileSet } from "./set.ts";
import { compileVerdict } from "./verdict.ts";
import { compileVmap } from "./vmap.ts";

export function compileStatement(statement: Statement, compiling: Compiling): Act {
  switch (statement.kind) {
    case "match":
      return compileMatch(statement, compiling);
    case "in":
      return compileIn(statement, compiling);
    case "vmap":
      return compileVmap(statement, compiling);
    case "verdict":
      return compileVerdict(statement);
    case "dnat":
    case "snat":
      return compileNat(statement, compiling);
    case "masquerade":
      return compileMasquerade(statement);
    case "redirect":
      return compileRedirect(statement, compiling);
    case "reject":
      return compileReject(statement);
    case "counter":
      return compileCounter();
    case "limit":
      return compileLimit(statement);
    case "log":
      return compileLog();
    case "notrack":
      return compileNotrack();
    case "set":
      return compileSet(statement, compiling);
    case "dynset":
      return compileDynset(statement, compiling);
    case "other":
      return compileOther(statement);
  }
}
