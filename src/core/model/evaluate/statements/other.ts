// An expression of somebody else's that the AST does not know: it may apply or not, and both is walked.
import type { Statement } from "#nft";
import type { Act } from "../evaluation.ts";

const EITHER_WAY: readonly number[] = [1, 1];

export function compileOther({ name }: Extract<Statement, { kind: "other" }>): Act {
  const what = `whether the unknown expression "${name}" applies`;
  return ({ choices }) => (choices.choose(EITHER_WAY, what) === 0 ? undefined : "break");
}
