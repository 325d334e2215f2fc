// Which connections to Services get the node's address as their source: the same in every mode that asks nftables.
import type { Family } from "#ip";
import { concat, equals, inSet, named, ofFamily, type Rule, type SetHeader, type Statement } from "#nft";
import { daddr, originalFrontend, perProtocol, rule, saddr } from "./expressions.ts";

export interface MasqueradeSets {
  /** Backend twice: who calls itself through a Service needs another source address, or it answers itself directly. */
  readonly hairpin: SetHeader;
  /** ClusterIPs, whatever the port. */
  readonly clusterIps: SetHeader;
  readonly podCidrs: SetHeader;
  /** Frontends that are reached from outside: their clients' addresses are replaced. */
  readonly external: SetHeader;
  /** Frontends that are reached from outside by clients who keep their addresses (externalTrafficPolicy Local). */
  readonly keepsSource: SetHeader;
}

const MASQUERADE: Statement = { kind: "masquerade", flags: ["fully-random"] };

export const isOwnAddress: Statement = equals({ kind: "fib", keys: ["saddr"], result: "type" }, named("fib_addrtype", "local"));

/**
 * Decides by the connection's original destination, which only conntrack still knows. No packet mark is used: a mark would stay on
 * the packet into the tunnel and have its outer copy translated again (kubernetes/kubernetes#92035), and marks are shared with others.
 */
export function masqueradeRules(family: Family, sets: MasqueradeSets): Rule[] {
  const [originalAddr, protocol, port] = originalFrontend(family);
  const frontend = concat(originalAddr, protocol, port);
  return [
    rule("hairpin", ofFamily(family), inSet(concat(saddr(family), daddr(family)), sets.hairpin.name), MASQUERADE),
    rule(
      "ClusterIP from outside the pod network",
      ofFamily(family),
      inSet(originalAddr, sets.clusterIps.name),
      inSet(saddr(family), sets.podCidrs.name, true),
      MASQUERADE,
    ),
    ...perProtocol(family, inSet(frontend, sets.external.name), MASQUERADE),
    // Backends elsewhere may have no way back to an address of this node's own, be it its other one or a frontend's.
    ...perProtocol(family, inSet(frontend, sets.keepsSource.name), isOwnAddress, MASQUERADE),
  ];
}
