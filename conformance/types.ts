// What a conformance test is, and what it is given.
import type { HttpClient } from "#client";
import type { Family } from "#ip";
import type { TestCluster } from "../src/app/testing/cluster.ts";

export interface ConformanceTest {
  /** Upstream's own title, without `[sig-network] ` before and ` [Conformance]` behind it. */
  readonly title: string;
  /** Runs alone, since it measures or fills the machine. */
  readonly alone?: boolean;
  /** Why it cannot run at all today. */
  readonly skip?: string;
  readonly run: (fixture: Fixture) => Promise<void>;
}

/** What each test has for itself: a namespace in the one cluster, removed afterwards. */
export interface Fixture {
  readonly cluster: TestCluster;
  readonly client: HttpClient;
  readonly namespace: string;
  /** A name that nothing else has, for labels and objects without a namespace. */
  readonly uniqueName: string;
  /** The cluster's first IP family, which is that of all addresses here. */
  readonly family: Family;
  /** The cluster's nodes, in order. */
  readonly nodes: readonly NodeAddress[];
  /** Aborts when the test has taken too long. */
  readonly signal: AbortSignal;
  /** A command in a container, through `kubectl exec` where there is a kubectl. Throws unless its exit code is 0. */
  readonly exec: (pod: string, command: readonly string[], options?: ExecOptions) => Promise<string>;
  /** One HTTP request to the API server with the cluster's credentials, any method, any answer. */
  readonly http: (method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Promise<HttpAnswer>;
  /** Runs after the test, whatever its outcome: for what is in no namespace. */
  readonly cleanUp: (what: () => Promise<unknown>) => void;
  /** A figure or remark that belongs into the report. */
  readonly note: (text: string) => void;
}

export interface NodeAddress {
  readonly name: string;
  /** The primary InternalIP. */
  readonly ip: string;
}

export interface ExecOptions {
  readonly container?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface Outcome {
  readonly title: string;
  readonly result: "passed" | "failed" | "skipped";
  readonly seconds: number;
  /** Why it failed or was skipped, or the test's notes. */
  readonly reason: string;
}
