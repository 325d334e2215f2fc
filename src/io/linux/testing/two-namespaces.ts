// Two namespaces with a link between them, for tests of sockets: 10.9.0.1 and fd09::1 are near, 10.9.0.2 and fd09::2 far.
import { parsePrefix } from "#ip";
import { type NetNs, netns, openRoute } from "../index.ts";

export interface TwoNamespaces {
  readonly near: NetNs;
  readonly far: NetNs;
  close(): void;
}

export function twoNamespaces(): TwoNamespaces {
  const near = netns.createAnonymous();
  const far = netns.createAnonymous();
  const nearRoute = openRoute(near);
  const farRoute = openRoute(far);
  nearRoute.links.add({ name: "eth0", type: { kind: "veth", peer: { name: "eth0", netns: far } }, up: true });
  farRoute.links.change("eth0", { up: true });
  for (const [route, n] of [
    [nearRoute, 1],
    [farRoute, 2],
  ] as const) {
    for (const prefix of [`10.9.0.${n}/24`, `fd09::${n}/64`]) route.addrs.set({ link: "eth0", prefix: parsePrefix(prefix) });
  }
  return {
    near,
    far,
    close() {
      for (const open of [nearRoute, farRoute, near, far]) open.close();
    },
  };
}
