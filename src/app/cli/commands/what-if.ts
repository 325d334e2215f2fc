// `fairlead what-if`: objects applied to a shadow of the cluster, and the difference. Reads the cluster, and writes nothing anywhere.
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { errorMessage, InputError } from "#base";
import { createHttpClient, type HttpClient } from "#client";
import {
  type Answer,
  answerJson,
  applyChanges,
  type Broken,
  type Expectation,
  formatAnswer,
  parseExpectations,
  verify,
  whatIf,
} from "#whatif";
import { openClient } from "../api.ts";
import { checkedObjects } from "../checked-objects.ts";
import { readContextConfig } from "../kubeconfig-file.ts";
import { type Connections, readConnections } from "../live-connections.ts";
import { readObjects } from "../live-objects.ts";
import { readPlacedManifests } from "../manifests.ts";
import { paint } from "../terminal.ts";

export interface ClusterChoice {
  readonly name: string;
  readonly context?: string;
  readonly kubeconfig?: string;
}

export interface WhatIfOptions extends ClusterChoice {
  readonly namespace: string;
  readonly filename: readonly string[];
  readonly delete: boolean;
  readonly failOn?: string;
  readonly output: "text" | "wide" | "json";
}

const NO_CONNECTIONS: Connections = { connections: [], nodeAddrs: new Map(), notes: [] };

/** A cluster that need not be Fairlead's: only lists are asked for. */
function isForeign({ context, kubeconfig }: ClusterChoice): boolean {
  return context !== undefined || kubeconfig !== undefined;
}

/** A cluster of Fairlead's, or any other where a kubeconfig says so. */
export function chosenClient({ name, context, kubeconfig }: ClusterChoice): HttpClient {
  if (context === undefined && kubeconfig === undefined) return openClient(name);
  return createHttpClient({ ...readContextConfig(kubeconfig, context), userAgent: "fairlead" });
}

/** The exit code: 1 where an expectation would not hold. */
export async function whatIfCommand(options: WhatIfOptions): Promise<number> {
  const given = readPlacedManifests(options.filename);
  if (given.length === 0) throw new InputError("--filename", `there are no objects in ${options.filename.join(", ")}`);
  const objects = options.delete ? given : checkedObjects(given, options.namespace);
  const expectations = options.failOn === undefined ? [] : readExpectations(options.failOn);
  const client = chosenClient(options);
  try {
    const unread: string[] = [];
    const live = await readObjects(client, unread);
    const { notes: unknown, ...seen } = isForeign(options) ? NO_CONNECTIONS : await readConnections(client, live.nodes.keys());
    const { objects: after, notes } = applyChanges(live, { objects, isDelete: options.delete, namespace: options.namespace });
    const answer = whatIf({ before: live, after, ...seen, notes: [...notes, ...unread, ...unknown] });
    const { partition, sets, after: reach } = answer.worlds;
    const broken = verify(expectations, { partition, sets, reach });
    print(answer, { broken, expectations }, options.output);
    return broken.length > 0 ? 1 : 0;
  } finally {
    client.close();
  }
}

interface Verified {
  readonly broken: readonly Broken[];
  readonly expectations: readonly Expectation[];
}

function print(answer: Answer, { broken, expectations }: Verified, output: WhatIfOptions["output"]): void {
  if (output === "json") {
    const failed = broken.map(({ expectation, text }) => ({ name: expectation.name, kind: expectation.kind, counterexample: text }));
    const expected = { checked: expectations.length, failed };
    process.stdout.write(`${JSON.stringify({ ...(answerJson(answer) as object), expectations: expected }, null, 2)}\n`);
    return;
  }
  process.stdout.write(formatAnswer(answer, output === "wide"));
  if (expectations.length === 0) return;
  process.stdout.write(`\nExpectations: ${expectations.length - broken.length} of ${expectations.length} hold\n`);
  for (const { expectation, text } of broken) process.stdout.write(`  ${paint("red", "✗")} ${expectation.name}: ${text}\n`);
}

function readExpectations(file: string): Expectation[] {
  let value: unknown;
  try {
    value = parse(readFileSync(file, "utf8"));
  } catch (err) {
    throw new InputError("--fail-on", `${file} cannot be read: ${errorMessage(err)}`);
  }
  try {
    return parseExpectations(value);
  } catch (err) {
    throw new InputError("--fail-on", `${file}: ${errorMessage(err)}`);
  }
}
