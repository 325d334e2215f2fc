// A controller on the fake API, for tests: a clock that stands still, and waiting for conditions instead of for time.
import { type Clock, silentLogger } from "#base";
import type { EventRecorder, RecordedEvent } from "#client";
import { createFakeClient, type FakeClient } from "#client/fake";
import { type KubeObject, keyOf, type Stored } from "#kube";
import type { ControllerContext } from "./context.ts";
import { createInformers } from "./informers.ts";

export interface TestBed {
  readonly client: FakeClient;
  readonly clock: Clock & { nowMs: number };
  /** `Normal SuccessfulCreate ns/name: message` */
  readonly events: string[];
  /** Resolves when `condition` holds; rejects after two seconds, showing `show()`. */
  until(condition: () => boolean | Promise<boolean>, show?: () => unknown): Promise<void>;
  /** Lets everything that is under way come to an end: no write for many turns of the event loop. */
  settle(): Promise<void>;
  [Symbol.dispose](): void;
}

export const TEST_START_MS: number = Date.UTC(2024, 0, 1);

export async function startTestBed(objects: readonly KubeObject[], start: (context: ControllerContext) => Promise<void>): Promise<TestBed> {
  const clock = { nowMs: TEST_START_MS, now: () => clock.nowMs, sleep: () => Promise.resolve() };
  const client = createFakeClient(objects, { clock });
  const abort = new AbortController();
  const events: string[] = [];
  const recorder: EventRecorder = {
    event: (object: Stored, event: RecordedEvent) => void events.push(`${event.type} ${event.reason} ${keyOf(object)}: ${event.message}`),
    flush: () => Promise.resolve(),
  };
  const informers = createInformers(client, { logger: silentLogger, signal: abort.signal });
  await start({ client, informers, clock, logger: silentLogger, signal: abort.signal, recorder: () => recorder });
  return {
    client,
    clock,
    events,
    until,
    settle: () => settle(client),
    [Symbol.dispose]: () => abort.abort(),
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function until(condition: () => boolean | Promise<boolean>, show: () => unknown = () => condition.toString()): Promise<void> {
  const deadline = Date.now() + 2000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`did not happen within 2 s: ${JSON.stringify(show())}`);
    await turn();
  }
}

const QUIET_TURNS = 50;

async function settle(client: FakeClient): Promise<void> {
  for (let quiet = 0, seen = client.writes.length; quiet < QUIET_TURNS; quiet++) {
    await turn();
    if (client.writes.length === seen) continue;
    seen = client.writes.length;
    quiet = 0;
  }
}
