// `fairlead agent`: Fairlead's part of a real node, in the foreground; or, with --cleanup, what it leaves there.
import { writeSync } from "node:fs";
import { hostname } from "node:os";
import { errorMessage, FairleadError, InputError, type Logger, systemClock } from "#base";
import type { ClientConfig } from "#client";
import type { ProxyMode } from "#proxy";
import { parseBlocks } from "../../agent/address-blocks.ts";
import { parseBind } from "../../agent/bind-address.ts";
import { cleanUp } from "../../agent/cleanup.ts";
import { parseNodePortAddresses } from "../../agent/node-port-addresses.ts";
import { type RealNodeOptions, startRealNode } from "../../agent/real-node.ts";
import { createConsoleLogger } from "../../console-log.ts";
import { createLogger } from "../../log.ts";
import { settleMemory } from "../../settle.ts";
import { readClientConfig } from "../kubeconfig-file.ts";
import { paint } from "../terminal.ts";

export interface AgentOptions {
  readonly only?: "proxy";
  readonly kubeconfig?: string;
  readonly server?: string;
  readonly nodeName?: string;
  readonly proxyMode: ProxyMode;
  readonly clusterCidr?: string;
  readonly detectLocalMode: "ClusterCIDR" | "NodeCIDR";
  readonly serviceCidr?: string;
  readonly nodeportAddresses?: string;
  readonly localhostNodeports: boolean;
  readonly healthzBindAddress?: string;
  readonly metricsBindAddress?: string;
  readonly logFormat: "auto" | "json" | "text";
  readonly cleanup: boolean;
}

const SETTLE_MS = 10_000;

/** Returns the exit code, 0 after SIGTERM and SIGINT. */
export async function agent(options: AgentOptions): Promise<number> {
  try {
    return options.cleanup ? await clean() : await run(options);
  } catch (err) {
    if (!(err instanceof InputError)) throw err;
    process.stderr.write(`${paint("red", "error:", process.stderr)} ${err.message}\n`);
    return 2;
  }
}

async function run(options: AgentOptions): Promise<number> {
  if (options.only === undefined) {
    throw new InputError("--only", "is missing: outside of a sandbox only the Service proxy can run yet; pass --only proxy");
  }
  const isJson = options.logFormat === "json" || (options.logFormat === "auto" && !process.stderr.isTTY);
  const logger = isJson ? createLogger("agent") : createConsoleLogger();
  const abort = new AbortController();
  const ended = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => ended.resolve(signal));
  void ended.promise.then(() => abort.abort());
  try {
    // What it waits for may never come once it is to end.
    await Promise.race([startRealNode(nodeOptions(options, logger, abort.signal)), ended.promise]);
  } catch (err) {
    if (!abort.signal.aborted) throw err;
  }
  if (!abort.signal.aborted) tellReady(logger, options);
  const signal = await ended.promise;
  logger.info("ending; the rules of Services stay and go on working (to remove them: fairlead agent --cleanup)", { signal });
  // What is under way in the kernel is synchronous; what is under way to the API server is worth a moment.
  await systemClock.sleep(50);
  process.exit(0);
}

function nodeOptions(options: AgentOptions, logger: Logger, signal: AbortSignal): RealNodeOptions {
  const { clusterCidr, serviceCidr } = options;
  return {
    config: withServer(readClientConfig(options.kubeconfig), options.server),
    nodeName: (options.nodeName ?? hostname()).trim().toLowerCase(),
    mode: options.proxyMode,
    clusterCidrs: clusterCidr === undefined ? undefined : parseBlocks("--cluster-cidr", clusterCidr),
    detectLocal: options.detectLocalMode,
    serviceCidrs: serviceCidr === undefined ? undefined : parseBlocks("--service-cidr", serviceCidr),
    ...parseNodePortAddresses("--nodeport-addresses", options.nodeportAddresses),
    localhostNodePorts: options.localhostNodeports,
    healthz: parseBind("--healthz-bind-address", options.healthzBindAddress, "healthz"),
    metrics: parseBind("--metrics-bind-address", options.metricsBindAddress, "metrics"),
    logger,
    signal,
  };
}

function withServer(config: ClientConfig, server: string | undefined): ClientConfig {
  if (server === undefined) return config;
  const protocol = URL.parse(server)?.protocol;
  if (protocol !== "https:" && protocol !== "http:")
    throw new InputError("--server", `"${server}" is not a URL such as https://10.0.0.1:6443`);
  return { ...config, server };
}

function tellReady(logger: Logger, { proxyMode }: AgentOptions): void {
  logger.info("ready", { mode: proxyMode });
  const readyFd = process.env["FAIRLEAD_READY_FD"];
  if (readyFd !== undefined) writeSync(Number(readyFd), "READY\n");
  settleMemory(SETTLE_MS);
}

async function clean(): Promise<number> {
  const { removed, impossible, failed } = await cleanUp();
  for (const what of removed) process.stdout.write(`removed ${what}\n`);
  if (removed.length === 0) process.stdout.write("nothing of Fairlead's is here\n");
  for (const why of impossible) process.stderr.write(`not looked at: ${why}\n`);
  if (failed.length === 0) return 0;
  throw new FairleadError(`cannot remove everything: ${failed.map(errorMessage).join("; ")}`, { code: "CleanupFailed" });
}
