// reject: a drop that says so. Mirrors nft_reject_inet_eval (net/netfilter/nft_reject_inet.c): a reset goes to TCP only, an ICMP error of
// one family to that family only; the packet is dropped all the same. What is sent, the walk makes.
import type { Statement } from "#nft";
import type { Act } from "../evaluation.ts";

export function compileReject({ with: how }: Extract<Statement, { kind: "reject" }>): Act {
  const verdict = { kind: "reject", with: how } as const;
  return () => verdict;
}
