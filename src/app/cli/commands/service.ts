// `fairlead service`: what each node does for a Service, and why.
import type { Node, Service } from "kubernetes-types/core/v1";
import { stringify } from "yaml";
import { errorMessage, FairleadError } from "#base";
import type { HttpClient } from "#client";
import { NODES, SERVICES } from "#kube";
import type { ServiceReport } from "#proxy";
import { openClient } from "../api.ts";
import { type Answer, formatService, isUnanswered } from "../service-text.ts";

/** The others are told of although one node hangs. */
const ANSWER_MS = 5000;

export interface ServiceOptions {
  readonly name: string;
  readonly namespace: string;
  readonly node?: string;
  readonly output: "text" | "wide" | "json" | "yaml";
}

export async function service(name: string, options: ServiceOptions): Promise<void> {
  const client = openClient(options.name);
  try {
    const object = await client.get<Service>(SERVICES, { namespace: options.namespace, name });
    const nodes = await nodeNames(client, options.node);
    const answers = await Promise.all(nodes.map((node) => askNode(client, node, `${options.namespace}/${name}`)));
    if (options.output === "json") process.stdout.write(`${JSON.stringify(answers, null, 2)}\n`);
    else if (options.output === "yaml") process.stdout.write(stringify(answers));
    else process.stdout.write(formatService(object, answers, options.output === "wide"));
    if (answers.some(isUnanswered)) process.exitCode = 1;
  } finally {
    client.close();
  }
}

async function nodeNames(client: HttpClient, wanted: string | undefined): Promise<string[]> {
  const { items } = await client.list<Node>(NODES);
  const names = items.map(({ metadata }) => metadata.name).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  if (wanted === undefined) return names;
  if (names.includes(wanted)) return [wanted];
  throw new FairleadError(`there is no node "${wanted}"; there are: ${names.join(", ")}`, { code: "NoSuchNode" });
}

async function askNode(client: HttpClient, node: string, key: string): Promise<Answer> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  try {
    const op = `ask ${node} about Service ${key}`;
    const path = `/api/v1/nodes/${node}/proxy/debug/services/${key}`;
    const { status, body } = await client.raw({ method: "GET", path, op, signal });
    const text = body.toString();
    if (status === 200) return JSON.parse(text) as ServiceReport;
    return { node, error: messageIn(text) };
  } catch (err) {
    return { node, error: signal.aborted ? `no answer within ${ANSWER_MS / 1000} s` : errorMessage(err) };
  }
}

/** The API server speaks in Status objects, a kubelet in plain text. */
function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === "string" ? message : text;
  } catch {
    return text;
  }
}
