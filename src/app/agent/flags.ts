// The agent's command line: text in, values out, and which flag is wrong.
import { parseArgs } from "node:util";
import { InputError } from "#base";
import { type Addr, type AddrPort, type Family, type Prefix, parseAddr, parsePrefix } from "#ip";
import { BACKENDS, type OverlayBackend } from "#overlay";
import { ESTABLISHED, type Established } from "#policy";
import { PROXY_MODES, type ProxyMode } from "#proxy";
import { parseBind } from "./bind-address.ts";
import { parseNodePortAddresses } from "./node-port-addresses.ts";

export interface AgentFlags {
  readonly kubeconfig: string;
  readonly nodeName: string;
  /** At most one per family; the first is the node's primary address. */
  readonly nodeAddrs: readonly Addr[];
  readonly overlay: OverlayBackend;
  readonly nodeRoot: string;
  readonly clusterDns: readonly Addr[];
  readonly clusterDomain: string;
  readonly serviceCidrs: readonly Prefix[];
  readonly clusterCidrs: readonly Prefix[];
  readonly proxyMode: ProxyMode;
  /** What becomes of flows that a policy no longer allows. */
  readonly policyEstablished: Established;
  /** Where NodePorts answer; absent: at `nodeAddrs`. */
  readonly nodePortAddresses?: readonly Prefix[];
  readonly localhostNodePorts: boolean;
  /** Where the proxy's /healthz and /livez are, and where its /metrics. */
  readonly healthz: readonly AddrPort[];
  readonly metrics: readonly AddrPort[];
  readonly kubeletTokenFile: string;
  /** Where the programs of the built-in images are. */
  readonly imageDir: string;
  /** Where pid 1 leaves the exit codes of pods whose agent died. */
  readonly exitsDir: string | undefined;
}

export const USAGE = `usage: agent FLAGS
  --kubeconfig FILE           a kubeconfig in JSON form
  --node-name NAME            this node's name
  --node-ip A[,B]             its addresses, at most one per family; the first is the primary one
  --overlay vxlan|host-gw     how pods reach pods of other nodes (vxlan)
  --node-root DIR             where the node keeps its pods, logs and addresses
  --cluster-dns A[,B]         the addresses of the cluster's DNS server
  --cluster-domain DOMAIN     (cluster.local)
  --service-cidr A[,B]        where Service addresses come from
  --cluster-cidr A[,B]        where the nodes' Pod CIDRs come from
  --proxy-mode MODE           how Services are made: nftables, iptables or ipvs (nftables)
  --policy-established WHAT   flows that a policy no longer allows: cut, or keep (cut)
  --nodeport-addresses LIST   where NodePorts answer: primary (the node's addresses), or at addresses in blocks A,B (primary)
  --localhost-nodeports       TCP NodePorts answer at 127.0.0.1 and ::1 too
  --healthz-bind-address A:P  where the proxy answers /healthz and /livez; "" is nowhere (0.0.0.0:10256 and [::]:10256)
  --metrics-bind-address A:P  where the proxy answers /metrics; "" is nowhere (127.0.0.1:10249)
  --kubelet-token-file FILE   the token that the API server shows for logs and exec
  --image-dir DIR             where the programs of the built-in images are (beside the agent)
  --exits-dir DIR             where pid 1 leaves exit codes of processes that it inherited`;

const OPTIONS = {
  kubeconfig: { type: "string" },
  "node-name": { type: "string" },
  "node-ip": { type: "string" },
  overlay: { type: "string", default: "vxlan" },
  "node-root": { type: "string" },
  "cluster-dns": { type: "string", default: "" },
  "cluster-domain": { type: "string", default: "cluster.local" },
  "service-cidr": { type: "string" },
  "cluster-cidr": { type: "string" },
  "proxy-mode": { type: "string", default: "nftables" },
  "policy-established": { type: "string", default: "cut" },
  "nodeport-addresses": { type: "string", default: "primary" },
  "localhost-nodeports": { type: "boolean", default: false },
  "healthz-bind-address": { type: "string" },
  "metrics-bind-address": { type: "string" },
  "kubelet-token-file": { type: "string" },
  "image-dir": { type: "string" },
  "exits-dir": { type: "string" },
} as const;

/** Throws InputError whose field is the flag. */
export function parseFlags(args: readonly string[], defaultImageDir: string): AgentFlags {
  const values = parse(args);
  const required = (flag: Exclude<keyof typeof OPTIONS, "localhost-nodeports">): string => {
    const value = values[flag];
    if (value === undefined || value === "") throw new InputError(`--${flag}`, "is missing");
    return value;
  };
  const backend = Object.values(BACKENDS).find(({ name }) => name === values.overlay);
  if (backend === undefined) throw new InputError("--overlay", `"${values.overlay}" is not one of ${Object.keys(BACKENDS).join(", ")}`);
  const nodeName = required("node-name");
  // RFC 1123 subdomain, which a Node's name has to be.
  if (nodeName.length > 253 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(nodeName)) {
    throw new InputError("--node-name", `"${nodeName}" is not lower-case letters, digits, "-" and "."`);
  }
  return {
    kubeconfig: required("kubeconfig"),
    nodeName,
    nodeAddrs: onePerFamily(
      "--node-ip",
      list(required("node-ip")).map((text) => parseAddr(text, "--node-ip")),
      (addr) => addr.family,
    ),
    overlay: backend,
    nodeRoot: required("node-root"),
    clusterDns: list(values["cluster-dns"]).map((text) => parseAddr(text, "--cluster-dns")),
    clusterDomain: values["cluster-domain"],
    serviceCidrs: cidrs("--service-cidr", required("service-cidr")),
    clusterCidrs: cidrs("--cluster-cidr", required("cluster-cidr")),
    proxyMode: oneOf("--proxy-mode", values["proxy-mode"], PROXY_MODES),
    policyEstablished: oneOf("--policy-established", values["policy-established"], ESTABLISHED),
    ...parseNodePortAddresses("--nodeport-addresses", values["nodeport-addresses"]),
    localhostNodePorts: values["localhost-nodeports"],
    healthz: parseBind("--healthz-bind-address", values["healthz-bind-address"], "healthz"),
    metrics: parseBind("--metrics-bind-address", values["metrics-bind-address"], "metrics"),
    kubeletTokenFile: required("kubelet-token-file"),
    imageDir: values["image-dir"] ?? defaultImageDir,
    exitsDir: values["exits-dir"],
  };
}

/** Throws InputError. */
function oneOf<T extends string>(flag: string, text: string, choices: readonly T[]): T {
  const found = choices.find((name) => name === text);
  if (found === undefined) throw new InputError(flag, `"${text}" is not one of ${choices.join(", ")}`);
  return found;
}

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"] {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (err) {
    throw new InputError("command line", err instanceof Error ? err.message : String(err));
  }
}

/** `a,b` as a list. */
function list(text: string): string[] {
  return text.split(",").filter((part) => part !== "");
}

/** At most one block per family. Throws InputError. */
function cidrs(flag: string, text: string): Prefix[] {
  const prefixes = list(text).map((part) => parsePrefix(part, flag));
  return onePerFamily(flag, prefixes, (prefix) => prefix.addr.family);
}

function onePerFamily<T>(flag: string, values: T[], familyOf: (value: T) => Family): T[] {
  const families = values.map(familyOf);
  if (new Set(families).size !== families.length)
    throw new InputError(flag, "has two values of one family; give at most one IPv4 and one IPv6");
  return values;
}
