// Where the proxy's servers listen: flags and defaults are kube-proxy's.
import { existsSync } from "node:fs";
import { InputError } from "#base";
import { type AddrPort, parseAddr } from "#ip";

/** All addresses of the node for probes and load balancers; only the node itself for metrics. */
const DEFAULTS = {
  healthz: { hosts: ["0.0.0.0", "::"], port: 10_256 },
  metrics: { hosts: ["127.0.0.1"], port: 10_249 },
} as const;

/** There only where the kernel knows IPv6. */
const INET6 = "/proc/net/if_inet6";

/** `ADDRESS:PORT` or `[ADDRESS]:PORT`; absent: the default; empty: nowhere. Throws InputError. */
export function parseBind(flag: string, text: string | undefined, what: keyof typeof DEFAULTS): AddrPort[] {
  if (text === undefined) {
    const { hosts, port } = DEFAULTS[what];
    return hosts.map((host) => ({ addr: parseAddr(host, flag), port })).filter(({ addr }) => addr.family === 4 || existsSync(INET6));
  }
  if (text === "") return [];
  const [, six, four, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port < 1 || port > 65_535) {
    throw new InputError(flag, `"${text}" is not ADDRESS:PORT such as 0.0.0.0:${DEFAULTS[what].port} or [::1]:${DEFAULTS[what].port}`);
  }
  return [{ addr: parseAddr(six ?? four ?? "", flag), port }];
}
