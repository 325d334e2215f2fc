// The controllers and the scheduler as one process: they share their copies of pods and nodes.
import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { errorMessage, InputError, systemClock } from "#base";
import { createEventRecorder, createHttpClient, type EventRecorder, readKubeconfig } from "#client";
import { type ControllerContext, createInformers, makePools, startControllers } from "#controllers";
import { parsePrefix } from "#ip";
import { startScheduler } from "#scheduler";
import { createLogger } from "../log.ts";

const { values: flags } = parseArgs({
  options: {
    kubeconfig: { type: "string" },
    /** Connect to the API server over this Unix socket. */
    "unix-socket": { type: "string" },
    "cluster-cidr": { type: "string", default: "" },
    "node-cidr-mask-size": { type: "string", default: "" },
    // Known to every component of the control plane; addresses of Services are the API server's business.
    "service-cidr": { type: "string", default: "" },
  },
});

const logger = createLogger("controllers");
const CLEANUP_DELAY_MS = 2000;

function list(text: string): string[] {
  return text.split(",").filter((part) => part !== "");
}

function parseBits(text: string): number {
  if (!/^\d{1,3}$/.test(text)) throw new InputError("--node-cidr-mask-size", `"${text}" is not a number of bits such as 24`);
  return Number(text);
}

async function main(): Promise<void> {
  if (flags.kubeconfig === undefined) throw new InputError("--kubeconfig", "is missing");
  const clusters = list(flags["cluster-cidr"]).map((text) => parsePrefix(text, "--cluster-cidr"));
  const pools = makePools(clusters, list(flags["node-cidr-mask-size"]).map(parseBits));
  const config = { ...readKubeconfig(flags.kubeconfig), socketPath: flags["unix-socket"], userAgent: "fairlead-controllers" };
  const client = createHttpClient(config);
  const abort = new AbortController();
  const { signal } = abort;
  const recorders: EventRecorder[] = [];
  const recorder = (component: string): EventRecorder => {
    const made = createEventRecorder(client, { component, logger });
    recorders.push(made);
    return made;
  };
  const stop = (): void => {
    abort.abort();
    // What has been said is worth a moment, but not a delay of the end.
    const flushed = Promise.all(recorders.map((made) => made.flush()));
    void Promise.race([flushed, systemClock.sleep(200)]).finally(() => process.exit(0));
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);

  const informers = createInformers(client, { logger, signal });
  const context: ControllerContext = { client, informers, clock: systemClock, logger, signal, recorder };
  const { pods, nodes } = informers;
  const scheduler = { client, pods, nodes, recorder: recorder("default-scheduler"), clock: systemClock, logger, signal };
  await Promise.all([startControllers(context, { pools, rootCa: config.ca, cleanupDelayMs: CLEANUP_DELAY_MS }), startScheduler(scheduler)]);
  logger.info("working", { clusterCidr: flags["cluster-cidr"] });
  if (process.env["FAIRLEAD_READY_FD"] !== undefined) writeSync(Number(process.env["FAIRLEAD_READY_FD"]), "READY\n");
}

try {
  await main();
} catch (err) {
  logger.error("cannot start", { err: errorMessage(err) });
  process.exit(err instanceof InputError ? 2 : 1);
}
