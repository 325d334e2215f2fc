// `fairlead reach`: who reaches whom, as policies have it, and with --probe as real connections have it.
import { FairleadError, InputError } from "#base";
import type { HttpClient } from "#client";
import { matchLabels, parseLabelSelector } from "#kube";
import type { PodFacts } from "#netpol";
import { type Cell, PortSets, parsePortExpectation, partition, Reach, type TablePort, truthTable, worldOf } from "#whatif";
import { readObjects } from "../live-objects.ts";
import { isReached, type PodProbe, probeAll } from "../probing.ts";
import { type Measured, reachJson, reachText } from "../reach-text.ts";
import { paint } from "../terminal.ts";
import { type ClusterChoice, chosenClient } from "./what-if.ts";

export interface ReachOptions extends ClusterChoice {
  readonly namespace?: string;
  readonly from?: string;
  readonly to?: string;
  readonly port: readonly string[];
  readonly probe: boolean;
  readonly output: "text" | "wide" | "json";
}

const CONNECTIONS = 4;

/** The exit code: 1 where what is measured is not what is foreseen. */
export async function reachCommand(options: ReachOptions): Promise<number> {
  if (options.probe && (options.context !== undefined || options.kubeconfig !== undefined)) {
    throw new InputError("--probe", "needs the agents of a cluster of Fairlead's; without it any cluster will do");
  }
  const ports = options.port.map((text): TablePort => {
    const { protocol, first, last } = parsePortExpectation(text, "--port");
    if (first !== last) throw new InputError("--port", `"${text}" is more than one port; give each`);
    return { protocol, port: first };
  });
  const clients = Array.from({ length: options.probe ? CONNECTIONS : 1 }, () => chosenClient(options));
  try {
    const cells = await foresee(clients[0], { options, ports });
    const measured = options.probe ? await measure(clients, cells) : undefined;
    process.stdout.write(options.output === "json" ? reachJson(cells, measured) : reachText(cells, measured, options.output === "wide"));
    return measured?.some(({ differs }) => differs) === true ? 1 : 0;
  } finally {
    for (const client of clients) client.close();
  }
}

async function foresee(
  client: HttpClient | undefined,
  { options, ports }: { readonly options: ReachOptions; readonly ports: readonly TablePort[] },
): Promise<Cell[]> {
  if (client === undefined) return [];
  const unread: string[] = [];
  const world = worldOf(await readObjects(client, unread));
  for (const note of unread) process.stderr.write(`${paint("yellow", "note:", process.stderr)} ${note}\n`);
  const parts = partition([world]);
  const sets = new PortSets();
  const running = [...world.pods.values()].filter(({ isPeer, nodeName }) => isPeer && nodeName !== "");
  const chosen = (selector: string | undefined, flag: string): PodFacts[] => {
    const found = running.filter(matcher(selector, flag, options.namespace));
    if (found.length > 0) return found;
    throw new FairleadError(`${flag}: no pod with addresses of its own is chosen`, { code: "NoSuchPod" });
  };
  const [from, to] = [chosen(options.from, "--from"), chosen(options.to, "--to")];
  return truthTable({ reach: new Reach(parts, 0, sets), partition: parts, sets, from, to, ports });
}

function matcher(selector: string | undefined, flag: string, namespace: string | undefined): (pod: PodFacts) => boolean {
  const inNamespace = (pod: PodFacts): boolean => namespace === undefined || pod.namespace === namespace;
  if (selector === undefined) return inNamespace;
  let parsed: ReturnType<typeof parseLabelSelector>;
  try {
    parsed = parseLabelSelector(selector);
  } catch (err) {
    throw new InputError(flag, err instanceof Error ? err.message : String(err));
  }
  return (pod) => inNamespace(pod) && matchLabels(parsed, pod.labels);
}

const PROTOCOLS: Readonly<Record<number, PodProbe["protocol"]>> = { 6: "tcp", 17: "udp", 132: "sctp" };

async function measure(clients: readonly HttpClient[], cells: readonly Cell[]): Promise<Measured[]> {
  const asked = cells.flatMap((cell) => cell.families.map(({ addr, allowed }) => ({ cell, addr, allowed })));
  const outcomes = await probeAll(
    clients,
    asked.map(({ cell, addr }) => ({ from: cell.from, dst: addr, protocol: PROTOCOLS[cell.port.protocol] ?? "tcp", port: cell.port.port })),
  );
  return asked.map(({ cell, addr, allowed }, i) => {
    const outcome = outcomes[i] ?? "error";
    return { cell, family: addr.family, outcome, differs: isReached(outcome) !== allowed };
  });
}
