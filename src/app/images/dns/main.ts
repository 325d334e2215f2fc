// The `dns` program: the cluster's DNS server, as the pods of the Deployment `coredns` run it.
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { errorMessage, InputError } from "#base";
import { createHttpClient, inClusterConfig, readKubeconfig } from "#client";
import { type DnsServer, parseUpstream, readNameservers, startDnsServer, type Upstream, withoutSelf } from "#dns";
import { parseKey } from "#kube";
import { createJsonLogger } from "./json-logger.ts";

const USAGE = `usage: dns [FLAGS]
  --port N                 UDP and TCP port (53)
  --listen ADDRESS         address to listen on, may be repeated (0.0.0.0 and ::)
  --zone NAME              the cluster's domain (cluster.local)
  --ttl SECONDS            lifetime of the cluster's records, 0 to 3600 (5)
  --pods MODE              whether 1-2-3-4.<namespace>.pod answers: insecure or disabled (insecure)
  --dns-service NS/NAME    the Service of this server, named by NS records (kube-system/kube-dns)
  --upstream ADDRESS       name server for other names, may be repeated; "none" for none (those of --resolv-conf)
  --resolv-conf FILE       where to read name servers from (/etc/resolv.conf)
  --cache-seconds N        keep answers of upstreams for at most this long (30)
  --lameduck SECONDS       how long to go on answering after SIGTERM, with /ready failing (5)
  --health-port N, --ready-port N, --metrics-port N   (8080, 8181, 9153; 0 for none)
  --kubeconfig FILE        a kubeconfig in JSON form (the pod's service account)`;

const { values } = readFlags();
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const logger = createJsonLogger("dns");
try {
  const port = number("port", 0, 65535);
  const server = await startDnsServer({
    client: createHttpClient({
      ...(values.kubeconfig === undefined ? inClusterConfig() : readKubeconfig(values.kubeconfig)),
      userAgent: "fairlead-dns",
    }),
    logger,
    port,
    ...(values.listen === undefined ? {} : { addresses: values.listen }),
    clusterDomain: values.zone,
    ttlSeconds: number("ttl", 0, 3600),
    pods: podsMode(values.pods),
    dnsService: dnsService(values["dns-service"]),
    upstreams: upstreams(port),
    cacheSeconds: number("cache-seconds", 0, 3600),
    statusPorts: { health: statusPort("health-port"), ready: statusPort("ready-port"), metrics: statusPort("metrics-port") },
  });
  const lameduckMs = number("lameduck", 0, 600) * 1000;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => void leave(server, signal === "SIGTERM" ? lameduckMs : 0));
  }
  await server.synced;
  const readyFd = process.env["FAIRLEAD_READY_FD"];
  if (readyFd !== undefined) writeSync(Number(readyFd), "READY\n");
  logger.info("the cluster's names are known");
} catch (err) {
  logger.error(errorMessage(err));
  process.exit(1);
}

/**
 * Clients that keep their port stay with this server until it is not ready (coredns.io/plugins/health, `lameduck`; 5 s is kubeadm's): until
 * then they are answered.
 */
async function leave(server: DnsServer, lameduckMs: number): Promise<void> {
  server.leave();
  await sleep(lameduckMs);
  await server.close();
  process.exit(0);
}

function readFlags(): { values: Flags } {
  try {
    return parseArgs({
      options: {
        port: { type: "string", default: "53" },
        listen: { type: "string", multiple: true },
        zone: { type: "string", default: "cluster.local" },
        ttl: { type: "string", default: "5" },
        pods: { type: "string", default: "insecure" },
        "dns-service": { type: "string", default: "kube-system/kube-dns" },
        upstream: { type: "string", multiple: true },
        "resolv-conf": { type: "string", default: "/etc/resolv.conf" },
        "cache-seconds": { type: "string", default: "30" },
        lameduck: { type: "string", default: "5" },
        "health-port": { type: "string", default: "8080" },
        "ready-port": { type: "string", default: "8181" },
        "metrics-port": { type: "string", default: "9153" },
        kubeconfig: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
  } catch (err) {
    console.error(`dns: ${errorMessage(err)}\n${USAGE}`);
    process.exit(2);
  }
}

interface Flags {
  port: string;
  listen?: string[];
  zone: string;
  ttl: string;
  pods: string;
  "dns-service": string;
  upstream?: string[];
  "resolv-conf": string;
  "cache-seconds": string;
  lameduck: string;
  "health-port": string;
  "ready-port": string;
  "metrics-port": string;
  kubeconfig?: string;
  help: boolean;
}

type NumberFlag = "port" | "ttl" | "cache-seconds" | "lameduck" | "health-port" | "ready-port" | "metrics-port";

function number(flag: NumberFlag, min: number, max: number): number {
  const text = values[flag];
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new InputError(`--${flag}`, `"${text}" is not a number from ${min} to ${max}`);
  return value;
}

function statusPort(flag: NumberFlag): number | undefined {
  const port = number(flag, 0, 65535);
  return port === 0 ? undefined : port;
}

function podsMode(text: string): "insecure" | "disabled" {
  if (text === "insecure" || text === "disabled") return text;
  throw new InputError("--pods", `"${text}" is not insecure or disabled`);
}

function dnsService(text: string): { namespace: string; name: string } {
  const { namespace, name } = parseKey(text);
  if (namespace === undefined || namespace === "" || name === "") throw new InputError("--dns-service", `"${text}" is not NAMESPACE/NAME`);
  return { namespace, name };
}

function upstreams(port: number): Upstream[] {
  const given = values.upstream;
  if (given !== undefined) return given.filter((text) => text !== "none").map((text) => parseUpstream(text, "--upstream"));
  const found = readNameservers(values["resolv-conf"]);
  const usable = withoutSelf(found, port);
  if (usable.length < found.length)
    logger.warn("left out upstream name servers that are this server itself", { resolvConf: values["resolv-conf"] });
  return usable;
}
