// Taking an overlay out of a node, by the marks that say what is ours.
import { formatPrefix } from "#ip";
import type { RouteSocket } from "#linux";
import { ROUTE_PROTOCOL, VXLAN_LINK } from "./names.ts";

/** Says what was removed. Nothing there is no error. */
export function removeOverlay({ links, routes }: RouteSocket): string[] {
  const own = routes.list({ protocol: ROUTE_PROTOCOL });
  for (const route of own) routes.del(route);
  const device = links.get(VXLAN_LINK);
  if (device !== undefined) links.del(VXLAN_LINK);
  return [...own.map(({ dst }) => `route ${formatPrefix(dst)}`), ...(device === undefined ? [] : [`link ${VXLAN_LINK}`])];
}
