// The API server as a process.
import { readFileSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseTokenFile, startApiServer, VERSION_CODEC } from "#apiserver";
import { errorMessage, InputError } from "#base";
import { type AddrPort, parseAddr, parsePrefix } from "#ip";
import { EmbeddedStore } from "#store";
import { createLogger } from "../log.ts";

const { values: flags } = parseArgs({
  options: {
    store: { type: "string" },
    listen: { type: "string", multiple: true },
    "unix-socket": { type: "string" },
    "tls-cert": { type: "string" },
    "tls-key": { type: "string" },
    "client-ca": { type: "string" },
    "service-account-key": { type: "string" },
    "token-file": { type: "string" },
    "service-cidr": { type: "string", default: "10.96.0.0/16,fd00:10:96::/112" },
    "advertise-address": { type: "string", default: "" },
    "cluster-domain": { type: "string", default: "cluster.local" },
    "kubelet-token-file": { type: "string" },
    "node-port-range": { type: "string", default: "30000-32767" },
  },
});

const logger = createLogger("apiserver");

function required(name: "store" | "tls-cert" | "tls-key" | "client-ca" | "service-account-key"): string {
  const value = flags[name];
  if (value === undefined) throw new InputError(`--${name}`, "is missing");
  return value;
}

function readFile(flag: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (err) {
    throw new InputError(`--${flag}`, errorMessage(err));
  }
}

function parseListen(text: string): AddrPort {
  const at = text.lastIndexOf(":");
  const port = Number(text.slice(at + 1));
  if (at < 0 || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw new InputError("--listen", `"${text}" is not ADDRESS:PORT such as 127.0.0.1:6443 or [::1]:6443`);
  }
  return { addr: parseAddr(text.slice(0, at).replace(/^\[|\]$/g, ""), "--listen"), port };
}

function parsePortRange(text: string): { first: number; last: number } {
  const [first = 0, last = 0] = text.split("-").map(Number);
  if (!/^\d+-\d+$/.test(text) || first < 1 || last > 65535 || first > last) {
    throw new InputError("--node-port-range", `"${text}" is not FIRST-LAST such as 30000-32767`);
  }
  return { first, last };
}

function list(text: string): string[] {
  return text.split(",").filter((part) => part !== "");
}

async function main(): Promise<void> {
  const tokenFile = flags["token-file"];
  const kubeletTokenFile = flags["kubelet-token-file"];
  const store = new EmbeddedStore({ path: required("store"), codec: VERSION_CODEC });
  const server = await startApiServer({
    store,
    logger,
    tls: {
      certificate: readFile("tls-cert", required("tls-cert")),
      key: readFile("tls-key", required("tls-key")),
      clientCa: readFile("client-ca", required("client-ca")),
    },
    addresses: (flags.listen ?? []).map(parseListen),
    unixSocket: flags["unix-socket"],
    tokens: tokenFile === undefined ? new Map() : parseTokenFile(readFile("token-file", tokenFile)),
    serviceAccountKey: readFile("service-account-key", required("service-account-key")),
    kubeletToken: kubeletTokenFile === undefined ? "" : readFile("kubelet-token-file", kubeletTokenFile).trim(),
    clusterDomain: flags["cluster-domain"],
    serviceCidrs: list(flags["service-cidr"]).map((text) => parsePrefix(text, "--service-cidr")),
    nodePorts: parsePortRange(flags["node-port-range"]),
    advertised: list(flags["advertise-address"]).map((text) => parseAddr(text, "--advertise-address")),
  });
  const stop = (): void => {
    void server.close().finally(() => {
      store.close();
      process.exit(0);
    });
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  logger.info("serving", { addresses: flags.listen ?? [], unixSocket: flags["unix-socket"], revision: store.revision });
  if (process.env["FAIRLEAD_READY_FD"] !== undefined) writeSync(Number(process.env["FAIRLEAD_READY_FD"]), "READY\n");
}

try {
  await main();
} catch (err) {
  logger.error("cannot start", { err: errorMessage(err) });
  process.exit(err instanceof InputError ? 2 : 1);
}
