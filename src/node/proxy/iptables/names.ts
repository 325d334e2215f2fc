// Names of chains. A chain's name may have 28 characters (XT_EXTENSION_MAXNAMELEN), which the name of a Service does not fit into.
import { hash } from "node:crypto";

/** Whatever begins so is ours, in every table. */
export const PREFIX = "FL-";

/** Where packets come in; the names that do not depend on Services. */
export const FRAME = {
  services: "FL-SERVICES",
  postrouting: "FL-POSTROUTING",
  masquerade: "FL-MASQUERADE",
  fromOutside: "FL-FROM-OUTSIDE",
  inside: "FL-INSIDE",
  filter: "FL-FILTER",
  refuse: "FL-REFUSE",
} as const;

/**
 * - `SVC` picks one of a list of backends.
 * - `SEP` is a backend that needs more than its address: for hairpin traffic, or to remember clients.
 * - `EXT` is how those who come by a NodePort, a load balancer's address or an externalIP get to the lists.
 * - `FW` lets pass whom loadBalancerSourceRanges name.
 * - `NET` and `PORT` are branches on the way from all frontends to one.
 */
export type ChainKind = "SVC" | "SEP" | "EXT" | "FW" | "NET" | "PORT";

export function chainName(kind: ChainKind, id: string): string {
  return `${PREFIX}${kind}-${hash("sha256", id).slice(0, 16).toUpperCase()}`;
}
