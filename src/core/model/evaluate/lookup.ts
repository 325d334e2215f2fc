// The look-up that `@set`, `map` and `vmap` share. Mirrors nft_lookup_eval (net/netfilter/nft_lookup.c): what packets have put into a
// dynamic set counts until its time is over (nft_set_elem_expired).
import type { Evaluation } from "./evaluation.ts";
import type { Scalar } from "./scalar.ts";
import type { PreparedElement, PreparedSet } from "./set.ts";

/** `id` is the set's name with its table's. What is found is noted for who asks why. */
export function lookUp(evaluation: Evaluation, set: PreparedSet, id: string, key: Scalar): PreparedElement | undefined {
  const found = find(evaluation, set, id, key);
  if (found !== undefined && evaluation.steps !== undefined) {
    evaluation.elements ??= [];
    evaluation.elements.push({ set: set.header.name, header: set.header, element: found.element });
  }
  return found;
}

function find({ dynamic }: Evaluation, set: PreparedSet, id: string, key: Scalar): PreparedElement | undefined {
  if (!set.dynamic) return set.find(key);
  return dynamic.find(set.header, id, key) ?? (dynamic.isRemoved(id, key) ? undefined : set.find(key));
}
