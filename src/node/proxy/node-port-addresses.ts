// Where NodePorts answer when it is not at the node's primary addresses: at all of its addresses that lie in given blocks.
import { type Addr, formatAddr, type Prefix, prefixContains } from "#ip";
import { type NetNs, netns as namespaces, openRoute } from "#linux";
import { whyUnusable } from "./addresses.ts";

export interface NodePortAddresses {
  /** As they are now, in the order of their texts. */
  readonly addresses: readonly Addr[];
  close(): void;
}

/**
 * Calls `onChange` whenever the addresses are others. Loopback and link-local addresses are never among them, whatever the blocks: what
 * comes to 127.0.0.1 may not leave the machine.
 */
export function watchNodePortAddresses(
  netns: NetNs | undefined,
  blocks: readonly Prefix[],
  onChange: (addresses: readonly Addr[]) => void,
): NodePortAddresses {
  const route = openRoute(netns ?? namespaces.current());
  const read = (): Addr[] => {
    const own = route.addrs.list().map(({ prefix }) => prefix.addr);
    const chosen = own.filter((addr) => whyUnusable(addr) === undefined && blocks.some((block) => prefixContains(block, addr)));
    const byText = new Map(chosen.map((addr) => [formatAddr(addr), addr]));
    return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, addr]) => addr);
  };
  let addresses = read();
  let pending: NodeJS.Immediate | undefined;
  // Addresses come in groups.
  const watch = route.watch(() => {
    pending ??= setImmediate(() => {
      pending = undefined;
      const next = read();
      if (next.map(formatAddr).join() === addresses.map(formatAddr).join()) return;
      addresses = next;
      onChange(next);
    });
  }, ["addr"]);
  return {
    get addresses() {
      return addresses;
    },
    close() {
      clearImmediate(pending);
      watch.close();
      route.close();
    },
  };
}
