// A kubelet with an API and a runtime in memory, made anew for each test of a file.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach } from "node:test";
import type { Event, Pod, PodSpec } from "kubernetes-types/core/v1";
import { silentLogger } from "#base";
import { createFakeClient, type FakeClient } from "#client/fake";
import { CORE_EVENTS, PODS, type Stored } from "#kube";
import { type Kubelet, startKubelet } from "../index.ts";
import { FakeRuntime } from "./fake-runtime.ts";

/** The pod that `podOf` makes. */
export const KEY: { readonly namespace: string; readonly name: string } = { namespace: "default", name: "web" };

let port = 21_000 + (process.pid % 1000) * 10;

export class KubeletFixture {
  dir = "";
  client: FakeClient = createFakeClient();
  runtime: FakeRuntime = new FakeRuntime();
  stop: AbortController = new AbortController();

  reset(): void {
    this.dir = mkdtempSync(`${tmpdir()}/fairlead-kubelet-`);
    this.client = createFakeClient();
    this.runtime = new FakeRuntime();
    this.stop = new AbortController();
  }

  remove(): void {
    this.stop.abort();
    rmSync(this.dir, { recursive: true, force: true });
  }

  start(networkReady?: Promise<void>): Kubelet {
    return startKubelet({
      client: this.client,
      runtime: this.runtime,
      nodeName: "node-1",
      nodeAddresses: ["127.0.0.1"],
      nodeLabels: { zone: "a" },
      clusterDns: ["10.96.0.10"],
      clusterDomain: "cluster.local",
      nodeRoot: this.dir,
      kubeletToken: "t",
      port: port++,
      ...(networkReady && { networkReady }),
      logger: silentLogger,
      signal: this.stop.signal,
    });
  }

  /** As SIGKILL leaves it: what was going on is never heard of again. */
  kill(): void {
    this.stop.abort();
    this.stop = new AbortController();
    this.runtime.held.clear();
    this.runtime.sandboxHeld = false;
  }

  podWhere(what: string, isSo: (pod: Stored<Pod>) => boolean): Promise<Stored<Pod>> {
    return until(what, async () => {
      const pod = await this.client.get(PODS, KEY);
      return isSo(pod) && pod;
    });
  }

  async isGone(): Promise<boolean> {
    return (await this.client.list(PODS)).items.length === 0;
  }

  /** `Reason: message` of each. */
  async events(): Promise<string[]> {
    return (await this.client.list(CORE_EVENTS)).items.map(({ reason, message }: Event) => `${reason}: ${message}`);
  }
}

/** To be called once, at the top of a test file. */
export function useKubelet(): KubeletFixture {
  const fixture = new KubeletFixture();
  beforeEach(() => fixture.reset());
  afterEach(() => fixture.remove());
  return fixture;
}

export function podOf(spec: Partial<PodSpec> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...KEY },
    spec: { nodeName: "node-1", enableServiceLinks: false, containers: [{ name: "c", image: "agnhost" }], ...spec },
  };
}

export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  for (let i = 0; i < 1000; i++) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not within 5 s: ${what}`);
}

export function isReady(pod: Stored<Pod>): boolean {
  return pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
}

export function waitingReason(pod: Stored<Pod>, name = "c"): string | undefined {
  return pod.status?.containerStatuses?.find((status) => status.name === name)?.state?.waiting?.reason;
}
