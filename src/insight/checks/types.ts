// What is examined, and what a check says of it. Plain data.
import type { Prefix } from "#ip";
import type * as model from "#model";
import type { NodeReport, ProbeRequest, ProbeResult } from "#observe";
import type { ShadowObjects } from "#shadow";

/** What the API does not say of the cluster. */
export interface ClusterSettings {
  readonly podCidrs: readonly Prefix[];
  readonly serviceCidrs: readonly Prefix[];
  readonly clusterDomain: string;
  readonly overlay: "vxlan" | "host-gw";
  /** What becomes of flows that a policy no longer allows. */
  readonly policyEstablished: "cut" | "keep";
  readonly proxyMode: "nftables" | "iptables" | "ipvs";
  /** Whether links and routes between nodes are the sandbox's, so that it is known what they should be. */
  readonly isSandbox: boolean;
}

/** An address that a node holds for a pod. */
export interface Lease {
  readonly addr: string;
  /** The pod's sandbox. */
  readonly containerId: string;
}

export interface NodeAnswer {
  readonly node: string;
  readonly report?: NodeReport;
  readonly leases?: readonly Lease[];
  /** Why there is no report. */
  readonly error?: string;
  /** By the asker's clock, in milliseconds since the Unix epoch. */
  readonly askedMs: number;
  readonly answeredMs: number;
}

export type ProbePurpose = "size" | "dns" | "endpoint";

export interface PlannedProbe {
  readonly purpose: ProbePurpose;
  readonly node: string;
  /** For people: `endpoint 10.244.1.2:80 of Service x/web`. */
  readonly target: string;
  readonly request: ProbeRequest;
}

export interface DoneProbe extends PlannedProbe {
  readonly result?: ProbeResult;
  /** Why nothing was sent. */
  readonly error?: string;
}

/** A cluster at about one moment. */
export interface Facts {
  readonly settings: ClusterSettings;
  readonly objects: ShadowObjects;
  readonly answers: readonly NodeAnswer[];
  /** What the kernels should hold. */
  readonly desired: model.NetworkState;
  readonly probes: readonly DoneProbe[];
}

export interface Finding {
  /** `node node-1`, `pod x/a`. */
  readonly object: string;
  readonly problem: string;
  /** What to do. */
  readonly remedy: string;
}

export interface Outcome {
  readonly examined: number;
  readonly failures: readonly Finding[];
  /** What is no fault, and hardly meant. */
  readonly warnings?: readonly Finding[];
}

export interface Check {
  /** Never another check's: people and programs name it. */
  readonly number: number;
  readonly title: string;
  /** What is true where it passes. */
  readonly proves: string;
  /** What is counted: `addresses`. */
  readonly unit: string;
  run(facts: Facts): Outcome;
}

export interface CheckResult extends Outcome {
  readonly number: number;
  readonly title: string;
  readonly proves: string;
  readonly unit: string;
  readonly warnings: readonly Finding[];
  readonly passed: boolean;
}
