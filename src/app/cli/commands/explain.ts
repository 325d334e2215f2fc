// `fairlead explain`: what policies say of a connection, and what it would take.
import { text } from "node:stream/consumers";
import { InputError } from "#base";
import { type Addr, type Family, formatAddr, parseAddr, tryParseAddr } from "#ip";
import { keyOf } from "#kube";
import { protocolNumber } from "#netpol";
import { type AskedFlow, type ClusterObjects, explainFlow, formatCause, listObjects, serviceAt } from "#trace";
import { openClient } from "../api.ts";
import { formatEnd, isDrop, type Told } from "../drop-text.ts";
import { paint } from "../terminal.ts";

export interface ExplainOptions {
  readonly name: string;
  readonly namespace: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port?: string;
  readonly ipv6?: boolean;
  readonly output: "text" | "json";
}

const STDIN = "-";

/** The exit code: 0 policies allow it, 1 they do not. */
export async function explain(from: string, to: string | undefined, options: ExplainOptions): Promise<number> {
  const client = openClient(options.name);
  try {
    const objects = await listObjects(client);
    const flow = from === STDIN && to === undefined ? flowOfDrop(await text(process.stdin)) : flowOf(objects, [from, to ?? ""], options);
    const { judgement, causes } = explainFlow(objects, flow);
    if (options.output === "json") {
      process.stdout.write(`${JSON.stringify({ allowed: judgement.allowed, causes, notes: judgement.notes }, null, 2)}\n`);
      return judgement.allowed ? 0 : 1;
    }
    const verdict = judgement.allowed ? paint("green", "policies allow it now") : paint("red", "refused");
    process.stdout.write(`${ends(objects, flow)}: ${verdict}\n`);
    for (const cause of causes) process.stdout.write(`\n${cause.sentence}\n${formatCause(cause, (style, plain) => paint(style, plain))}`);
    for (const note of judgement.notes) process.stdout.write(`\n${note.text}\n`);
    return judgement.allowed ? 0 : 1;
  } finally {
    client.close();
  }
}

function ends(objects: ClusterObjects, { from, to, port }: AskedFlow): string {
  const end = (addr: Addr, at?: number): string => {
    const pod = objects.pods.find(
      ({ spec, status }) => spec?.hostNetwork !== true && status?.podIPs?.some(({ ip }) => ip === formatAddr(addr)),
    );
    return formatEnd({ addr: formatAddr(addr), ...(at !== undefined && { port: at }), ...(pod && { pod: keyOf(pod) }) });
  };
  return `${end(from)} to ${end(to, port)}`;
}

/** A line of `watch drops -o json`. Throws InputError. */
function flowOfDrop(line: string): AskedFlow {
  let told: Told;
  try {
    told = JSON.parse(line.trim().split("\n").at(-1) ?? "") as Told;
  } catch {
    throw new InputError("standard input", "is not a line of `watch drops -o json`");
  }
  if (
    typeof told !== "object" ||
    told === null ||
    !isDrop(told) ||
    typeof told.from?.addr !== "string" ||
    typeof told.to?.addr !== "string"
  )
    throw new InputError("standard input", "does not say who asked whom; give a line of `watch drops -o json`");
  const protocol = protocolNumber(told.protocol) ?? OTHERS[told.protocol] ?? Number(told.protocol);
  const { port } = told.to;
  return { from: parseAddr(told.from.addr), to: parseAddr(told.to.addr), protocol, ...(port !== undefined && { port }) };
}

const OTHERS: Readonly<Record<string, number>> = { ICMP: 1, ICMPv6: 58 };

function flowOf(objects: ClusterObjects, [from, to]: readonly [string, string], options: ExplainOptions): AskedFlow {
  if (to === "") throw new InputError("TO", "is missing: explain FROM TO, or explain - with a line of `watch drops -o json`");
  const asked = endOf(to);
  const port = portOf(options.port ?? asked.port);
  const given = [tryParseAddr(from), tryParseAddr(asked.who)].find((addr) => addr !== undefined)?.family;
  const family = given ?? (options.ipv6 === true ? 6 : undefined);
  if (/^(?:svc|services?)\//.test(asked.who)) throw notOfService(asked.who);
  const dst = addrOf(objects, asked.who, { options, family });
  const found = serviceAt(objects, dst);
  if (found !== undefined) throw notOfService(`${asked.who}, ${found.via} of Service ${keyOf(found.service)}`);
  const src = addrOf(objects, from, { options, family: dst.family });
  return { from: src, to: dst, protocol: protocolNumber(options.protocol.toUpperCase()) ?? 6, ...(port !== undefined && { port }) };
}

/** Policies judge after a Service's translation. */
function notOfService(what: string): InputError {
  return new InputError("TO", `${what}: policies judge the pod behind it; name one of its pods, or ask \`fairlead trace\``);
}

/** `x/web:80`, `10.0.0.1:80`, `[fd00::1]:80`, or without a port. */
function endOf(to: string): { readonly who: string; readonly port?: string } {
  const [, bracketed, plain, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(to) ?? [];
  const who = bracketed ?? plain;
  return who === undefined || port === undefined ? { who: to } : { who, port };
}

function portOf(given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const port = Number(given);
  if (!/^\d+$/.test(given) || port < 1 || port > 65_535) throw new InputError("--port", `"${given}" is not a port from 1 to 65535`);
  return port;
}

function addrOf(
  { pods }: ClusterObjects,
  who: string,
  { options, family }: { readonly options: ExplainOptions; readonly family: Family | undefined },
): Addr {
  const addr = tryParseAddr(who);
  if (addr !== undefined) return addr;
  const key = who.includes("/") ? who : `${options.namespace}/${who}`;
  const pod = pods.find((one) => keyOf(one) === key);
  if (pod === undefined) throw new InputError("pod", `there is no pod ${key}`);
  const own = (pod.status?.podIPs ?? []).flatMap(({ ip }) => tryParseAddr(ip ?? "") ?? []);
  const found = own.find((one) => family === undefined || one.family === family);
  if (found === undefined) throw new InputError("pod", `${key} has no ${family === undefined ? "" : `IPv${family} `}address`);
  return found;
}
