// Where NodePorts answer: a flag of both agents, as kube-proxy's --nodeport-addresses.
import { InputError } from "#base";
import { type Prefix, parsePrefix } from "#ip";

/** `primary` (or nothing): at the node's primary addresses, which is the absence of blocks. Throws InputError. */
export function parseNodePortAddresses(flag: string, text = "primary"): { readonly nodePortAddresses?: readonly Prefix[] } {
  const parts = text.split(",").filter((part) => part !== "");
  if (parts.length === 0 || text === "primary") return {};
  if (parts.includes("primary")) throw new InputError(flag, `"${text}" is both primary and blocks of addresses; give one of them`);
  return { nodePortAddresses: parts.map((part) => parsePrefix(part, flag)) };
}
