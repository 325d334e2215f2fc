// dnat and snat. Mirrors nft_nat_eval and nft_nat_inet_eval (net/netfilter/nft_nat.c): in an `inet` table the statement does nothing to
// packets of the other family; where there is no connection, the kernel's hook is not even asked.
import { type Datatype, exprTypes, type NatFlag, type Statement } from "#nft";
import type { NatRange } from "../../conntrack/nat.ts";
import type { Act, Compiling } from "../evaluation.ts";
import { addrOfScalar, parted, type Scalar } from "../scalar.ts";

type NatStatement = Extract<Statement, { kind: "dnat" | "snat" }>;

export function compileNat({ kind, family: name, to, flags }: NatStatement, compiling: Compiling): Act {
  const family = name === "ip" ? 4 : 6;
  const what = kind === "dnat" ? "destination" : "source";
  const read = compiling.read(to);
  const types = exprTypes(to);
  return (evaluation) => {
    if (evaluation.family !== family) return undefined;
    const value = read(evaluation);
    if (value === undefined) return "break";
    return { kind: evaluation.around.bind(evaluation.skb, rangeOf(types, value, flags), what) };
  };
}

function rangeOf(types: readonly Datatype[], value: Scalar, flags: readonly NatFlag[] | undefined): NatRange {
  let range: NatRange = flagsOf(flags);
  for (const [i, scalar] of parted(types, value).entries()) {
    const type = types[i];
    if (type === "ipv4_addr") range = { ...range, addr: addrOfScalar(4, scalar) };
    else if (type === "ipv6_addr") range = { ...range, addr: addrOfScalar(6, scalar) };
    else if (typeof scalar === "number") range = { ...range, port: scalar };
  }
  return range;
}

/** Both flags ask for any port (NF_NAT_RANGE_PROTO_RANDOM_ALL). "persistent" is about ranges of addresses, which the AST has not. */
export function flagsOf(flags: readonly NatFlag[] | undefined): NatRange {
  return { random: flags?.some((flag) => flag !== "persistent") === true };
}
