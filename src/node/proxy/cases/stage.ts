// What every list of cases stands on: a node with pods and servers, a proxy of some mode on it, and one family's addresses.
import { after, before } from "node:test";
import { formatAddr } from "#ip";
import type { ProxyMode } from "../dataplane.ts";
import { Fixture, tcp, udp } from "../fixture.ts";
import { Cluster, type Family } from "../fixture-cluster.ts";
import type { ProxyOptions } from "../start.ts";

type HostName = "node" | "podA" | "podB" | "outside";

export interface Stage {
  readonly mode: ProxyMode;
  readonly family: Family;
  /** There while tests of the `describe` run, and so are the next two. */
  readonly fixture: Fixture;
  readonly cluster: Cluster;
  /** A host's own address of this family. */
  readonly addrOf: (host: HostName) => string;
}

type Prepare = (cluster: Cluster, at: Stage) => Promise<void>;

/**
 * For one `describe`: every host of the fixture answers at port 8080, and a proxy runs on its node. `prepare` gives it the Services that
 * all tests use.
 */
export function stage(mode: ProxyMode, family: Family, prepare: Prepare = async () => {}, more: Partial<ProxyOptions> = {}): Stage {
  let fixture: Fixture | undefined;
  let cluster: Cluster | undefined;
  const at: Stage = {
    mode,
    family,
    get fixture() {
      return running(fixture);
    },
    get cluster() {
      return running(cluster);
    },
    addrOf: (host) => formatAddr(at.fixture[host].addrs[family.index]),
  };
  before(async () => {
    fixture = new Fixture();
    for (const host of fixture.hosts) fixture.serve(host, 8080);
    cluster = await Cluster.start(fixture, mode, more);
    await prepare(cluster, at);
  });
  after(async () => {
    await cluster?.remove();
    fixture?.close();
  });
  return at;
}

function running<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the stage is there only while a test runs");
  return value;
}

export const PROTOCOLS: readonly (readonly ["TCP" | "UDP", typeof tcp])[] = [
  ["TCP", tcp],
  ["UDP", udp],
];

/** An answer's IPv4 client as such, also where the server listened on IPv6. */
export function clean(answer: string): string {
  return answer.replace("::ffff:", "");
}

/** Who answers, and which clients they see, in 24 questions: 2 of 2 backends are missed once in 8 million times. */
export async function seen(ask: () => Promise<string>): Promise<string[]> {
  const answers = new Set<string>();
  for (let i = 0; i < 24; i++) answers.add(clean(await ask()));
  return [...answers].sort();
}
