// A proxy over a fake API and fake nf_tables, for tests that need no kernel.
import assert from "node:assert/strict";
import { type LogFields, silentLogger } from "#base";
import { createFakeClient, type FakeClient } from "#client/fake";
import type { KubeObject } from "#kube";
import type { ConntrackSocket } from "#linux";
import { FakeKernel, FakeNft } from "#linux/fake";
import { formatElement } from "#nft";
import { NftablesDataplane } from "./nftables/dataplane.ts";
import { TABLE } from "./nftables/layout.ts";
import { startProxy } from "./start.ts";
import { CIDRS, NODE } from "./testing.ts";

export interface Setup {
  readonly client: FakeClient;
  readonly nft: FakeNft;
  readonly proxy: ReturnType<typeof startProxy>;
  readonly warnings: { message: string; fields: LogFields }[];
}

/** A proxy over fakes, with `objects` in its API. */
export async function start(objects: readonly KubeObject[], options: { nft?: FakeNft; conntrack?: ConntrackSocket } = {}): Promise<Setup> {
  const client = createFakeClient(objects);
  const nft = options.nft ?? new FakeNft();
  const warnings: Setup["warnings"] = [];
  const warn = (message: string, fields: LogFields = {}): void => void warnings.push({ message, fields });
  const logger = { ...silentLogger, warn, error: warn, child: () => logger };
  const { conntrack } = options;
  const proxy = startProxy({
    client,
    node: NODE,
    ...CIDRS,
    logger,
    openDataplane: ({ cidrs, metrics }) => new NftablesDataplane({ nft, cidrs, metrics, logger }),
    ...(conntrack && { netns: new FakeKernel().netns.createAnonymous(), openConntrack: () => conntrack }),
  });
  await proxy.synced;
  return { client, nft, proxy, warnings };
}

/** Elements by set, as sorted text. */
export function elements(nft: Pick<FakeNft, "list">): Record<string, string[]> {
  const out: Record<string, string[]> = {};
  for (const set of nft.list(TABLE)?.sets ?? []) {
    if (set.elements.length > 0 && !set.name.includes("cidrs")) out[set.name] = set.elements.map((e) => formatElement(set, e)).sort();
  }
  return out;
}

const GIVE_UP_MS = 20_000;

/** Waits until the fake's watch has delivered what was written, and the proxy has done it. */
export async function settle(setup: Setup, done: () => boolean): Promise<void> {
  const end = performance.now() + GIVE_UP_MS;
  while (!done() && performance.now() < end) {
    await new Promise((resolve) => setImmediate(resolve));
    await setup.proxy.idle();
  }
  assert.ok(done(), "the change never arrived");
}

/** The chain of a service port that remembers its clients; the number in it is arbitrary. */
const OWNER = /(stick|remember)([46])-(\d+)/;

/**
 * Elements where it does not matter which backend of a frontend, or which service port that remembers clients, has which number: a
 * backend is in its frontend's list, the numbers of a list are those from its first on, and a service port is named by the first of its
 * frontends.
 */
export function canonical(nft: Pick<FakeNft, "list">): Record<string, string[]> {
  const all = elements(nft);
  const names = new Map<string, string>();
  for (const name of ["services4", "inside4", "services6", "inside6"]) {
    for (const line of all[name] ?? []) {
      const [, , family, number] = OWNER.exec(line) ?? [];
      const id = `${family} ${number}`;
      if (number !== undefined && !names.has(id)) names.set(id, line.split(" comment")[0] ?? "");
    }
  }
  const named = (line: string): string =>
    line.replace(OWNER, (_, kind: string, family: string, number: string) => `${kind}${family} of ${names.get(`${family} ${number}`)}`);
  const out: Record<string, string[]> = {};
  // By name: sets that are made on demand come in the order of their first use, which means nothing either.
  for (const [name, lines] of Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (name.startsWith("affinity")) continue;
    out[name] = name.startsWith("endpoints") ? lists(lines) : lines.map(named).sort();
  }
  return out;
}

const INSIDE = 0x1_0000;

/** `frontend . number comment "…" : backend` to one line for each frontend and list. */
function lists(lines: readonly string[]): string[] {
  const found = new Map<string, { readonly numbers: number[]; readonly backends: string[] }>();
  for (const line of lines) {
    const [, frontend, number, rest] = /^(.*) \. (\d+) (comment .*)$/.exec(line) ?? [];
    const index = Number(number);
    const id = `${frontend} ${index < INSIDE ? "all" : "inside"}`;
    const list = found.get(id) ?? { numbers: [], backends: [] };
    found.set(id, list);
    list.numbers.push(index % INSIDE);
    list.backends.push(rest ?? "");
  }
  return [...found]
    .map(([id, { numbers, backends }]) => `${id} ${numbers.sort((a, b) => a - b).join(" ")}: ${backends.sort().join(", ")}`)
    .sort();
}
