// The layout of kube-proxy's nftables mode: a chain per service, and one per endpoint (KEP-3866, "Data plane performance"), with the
// rules that a ClusterIP service has there. It uses named maps where kube-proxy has anonymous ones, which the kernel looks up faster.
import { type Addr, parseAddr, parsePrefix } from "#ip";
import {
  type Change,
  concat,
  type Expr,
  equals,
  gotoVerdict,
  inPrefix,
  jump,
  meta,
  payload,
  type Rule,
  type SetHeader,
  type Statement,
  type TableId,
  TCP,
} from "#nft";
import { podsOf, type Sizes, vip } from "./cluster.ts";

const CHAINS_TABLE: TableId = { family: "inet", name: "chain-per-endpoint" };

const table = CHAINS_TABLE;
const serviceIps: SetHeader = { name: "service-ips", key: ["ipv4_addr", "inet_proto", "inet_service"], data: "verdict" };
const MARK = 0x4000;
const ipv4: Statement = equals(meta("nfproto"), 2);
const tcp: Statement = equals(meta("l4proto"), TCP);
const podCidr = parsePrefix("10.244.0.0/16");

function addRule(chain: string, ...statements: readonly Statement[]): Change {
  const rule: Rule = { statements };
  return { op: "add rule", table, chain, rule };
}

function addChain(chain: string): Change {
  return { op: "add chain", table, chain };
}

export function chainFrame(): Change[] {
  const mark: Expr = { kind: "bitwise", of: meta("mark"), mask: ~MARK >>> 0, xor: MARK };
  const key = concat(payload("ip daddr"), meta("l4proto"), payload("th dport"));
  const base = { type: "nat", priority: -100, policy: "accept" } as const;
  return [
    { op: "add table", table },
    { op: "add set", table, set: serviceIps },
    addChain("mark-for-masquerade"),
    addRule("mark-for-masquerade", { kind: "set", target: { kind: "meta", key: "mark" }, value: mark }),
    addChain("services"),
    addRule("services", ipv4, { kind: "vmap", key, map: serviceIps.name }),
    { op: "add chain", table, chain: "nat-prerouting", base: { ...base, hook: "prerouting" } },
    addRule("nat-prerouting", jump("services")),
    { op: "add chain", table, chain: "nat-output", base: { ...base, hook: "output" } },
    addRule("nat-output", jump("services")),
  ];
}

export function chainService(n: number, sizes: Sizes): Change[] {
  const name = `service-${n}`;
  const pick: SetHeader = { name: `pick-${n}`, key: ["index"], data: "verdict" };
  const pods = podsOf(n, sizes);
  const endpointChain = (i: number): string => `endpoint-${n}-${i}`;
  return [
    ...pods.flatMap((pod, i) => [
      addChain(endpointChain(i)),
      addRule(endpointChain(i), ipv4, equals(payload("ip saddr"), parseAddr(pod)), jump("mark-for-masquerade")),
      addRule(endpointChain(i), tcp, {
        kind: "dnat",
        family: "ip",
        to: concat(value("ipv4_addr", parseAddr(pod)), value("inet_service", 8080)),
      }),
    ]),
    { op: "add set", table, set: pick },
    { op: "add elements", table, set: pick, elements: pods.map((_, i) => ({ key: [i], data: gotoVerdict(endpointChain(i)) })) },
    addChain(name),
    addRule(
      name,
      ipv4,
      equals(payload("ip daddr"), parseAddr(vip(n))),
      inPrefix(payload("ip saddr"), podCidr, true),
      jump("mark-for-masquerade"),
    ),
    addRule(name, { kind: "vmap", key: { kind: "numgen", mode: "random", mod: pods.length }, map: pick.name }),
    { op: "add elements", table, set: serviceIps, elements: [{ key: [parseAddr(vip(n)), TCP, 80], data: gotoVerdict(name) }] },
  ];
}

function value(type: "ipv4_addr" | "inet_service", of: number | Addr): Expr {
  return { kind: "value", type, value: of };
}
