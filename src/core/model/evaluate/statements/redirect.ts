// redirect: dnat to the namespace itself. Mirrors nft_redir.c and nf_nat_redirect.c (net/netfilter): the loopback address for what is made
// here, else the address of the link that the packet came in by.
import { parseAddr } from "#ip";
import type { Statement } from "#nft";
import type { Act, Compiling } from "../evaluation.ts";
import { flagsOf } from "./nat.ts";

const LOOPBACK = { 4: parseAddr("127.0.0.1"), 6: parseAddr("::1") } as const;

export function compileRedirect({ port, flags }: Extract<Statement, { kind: "redirect" }>, compiling: Compiling): Act {
  const read = port === undefined ? undefined : compiling.read(port);
  return (evaluation) => {
    const { skb, around, hook, linkIn, family } = evaluation;
    const to = read?.(evaluation);
    if (read !== undefined && to === undefined) return "break";
    const addr = hook === "output" ? LOOPBACK[family] : linkIn === undefined ? undefined : around.redirectAddr(linkIn, family);
    if (addr === undefined) return { kind: "drop" };
    const range = { ...flagsOf(flags), addr, ...(typeof to === "number" && { port: to }) };
    return { kind: around.bind(skb, range, "destination") };
  };
}
