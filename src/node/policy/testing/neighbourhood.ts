// For tests with real packets: a node with pods whose policies are enforced, beside an API in memory.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { silentLogger } from "#base";
import { createFakeClient, type FakeClient } from "#client/fake";
import { formatAddr, parseAddr, parsePrefix } from "#ip";
import { CLUSTER_NETWORK_POLICIES, type ClusterNetworkPolicySpec, NAMESPACES, NETWORK_POLICIES, PODS } from "#kube";
import { connectSocket, type PacketLog, udpFd, watchPacketLog } from "#linux";
import { clusterPolicy, policy } from "../../../core/netpol/testing/objects.ts";
import { type Place, type TestPod, World } from "../../portmap/testing/world.ts";
import { startPolicies } from "../start.ts";
import type { LocalPod, Policies, PoliciesOptions } from "../types.ts";

/** Nothing waits on this machine's wire: a packet that is not refused is answered within a fraction of it. */
const REFUSED_MS = 250;
const ANSWERED_MS = 10_000;

export class Neighbourhood {
  readonly world: World = new World();
  readonly client: FakeClient = createFakeClient();
  readonly #pods = new Map<string, TestPod & { readonly local: LocalPod }>();

  constructor() {
    for (const [dst, via] of [
      ["10.244.1.0/24", "172.18.0.11"],
      ["fd00:10:244:1::/64", "fd00:18::11"],
    ] as const) {
      this.world.outside.route.routes.set({ dst: parsePrefix(dst), nextHops: [{ via: parseAddr(via), link: "eth0" }] });
    }
    for (const name of ["x", "y"])
      this.client.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { ns: name } } });
  }

  /** A pod `namespace/name` that answers on 8080, its port `http`; not yet known to policy. */
  pod(key: string): TestPod & { readonly local: LocalPod } {
    const [namespace = "", name = ""] = key.split("/");
    const made = this.world.pod(key.replace("/", "-"));
    const { metadata } = this.client.seed(PODS, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name, labels: { pod: name } },
      spec: { nodeName: "node-1", containers: [{ name: "c", ports: [{ name: "http", containerPort: 8080 }] }] },
      status: { phase: "Running", podIPs: made.addrs.map((addr) => ({ ip: formatAddr(addr) })) },
    });
    const local = { containerId: made.name, namespace, name, uid: metadata.uid, addrs: made.addrs };
    this.#pods.set(key, { ...made, local });
    return { ...made, local };
  }

  start(pods: readonly LocalPod[] = [], given: Partial<PoliciesOptions> = {}): Policies {
    const { nft, ns } = this.world.options;
    const openLog: PacketLog = (options, listener) => watchPacketLog(ns, options, listener);
    const policies = startPolicies({ client: this.client, nodeName: "node-1", nft, logger: silentLogger, openLog, ...given });
    policies.open(pods);
    return policies;
  }

  /** Waits until the kernel has it. */
  async apply(policies: Policies, key: string, spec: Partial<NetworkPolicySpec>): Promise<void> {
    const object = policy(key, spec);
    const { name, namespace } = object.metadata;
    await this.#change(policies, () => this.client.seed(NETWORK_POLICIES, { ...object, metadata: { name, namespace: namespace ?? "" } }));
  }

  async remove(policies: Policies, key: string): Promise<void> {
    const [namespace = "", name = ""] = key.split("/");
    await this.#count(policies, () => this.client.delete(NETWORK_POLICIES, { namespace, name }));
  }

  async applyCluster(policies: Policies, name: string, spec: Partial<ClusterNetworkPolicySpec>): Promise<void> {
    const object = { ...clusterPolicy(name, spec), metadata: { name } };
    const { items } = await this.client.list(CLUSTER_NETWORK_POLICIES);
    if (items.some(({ metadata }) => metadata.name === name)) {
      await this.#change(policies, () => this.client.update(CLUSTER_NETWORK_POLICIES, object));
    } else await this.#count(policies, () => this.client.seed(CLUSTER_NETWORK_POLICIES, object));
  }

  async removeCluster(policies: Policies, name: string): Promise<void> {
    await this.#count(policies, () => this.client.delete(CLUSTER_NETWORK_POLICIES, { name }));
  }

  async label(policies: Policies, namespace: string, labels: Readonly<Record<string, string>>): Promise<void> {
    const patch = { type: "merge", body: { metadata: { labels } } } as const;
    await this.#change(policies, () => this.client.patch(NAMESPACES, { name: namespace }, patch));
  }

  /** One policy more or less, whether or not that makes a difference to a pod. */
  async #count(policies: Policies, act: () => unknown): Promise<void> {
    const before = policies.metrics.policies;
    await act();
    while (policies.metrics.policies === before) await new Promise((resolve) => setImmediate(resolve));
  }

  async #change(policies: Policies, act: () => unknown): Promise<void> {
    const before = policies.metrics.syncs_total;
    await act();
    while (policies.metrics.syncs_total === before) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Whether a connection over TCP, and a packet over UDP, is answered; `expected` says how long to wait for it. */
export async function reaches(from: Place, to: string, port: number, expected: boolean): Promise<Record<"tcp" | "udp", boolean>> {
  const giveUp = AbortSignal.timeout(expected ? ANSWERED_MS : REFUSED_MS);
  const [tcp, udp] = await Promise.all([asksTcp(from, to, port, giveUp), asksUdp(from, to, port, giveUp)]);
  return { tcp, udp };
}

async function asksTcp({ ns }: Place, to: string, port: number, signal: AbortSignal): Promise<boolean> {
  const socket = connectSocket(ns, { addr: parseAddr(to), port });
  try {
    await once(socket, "connect", { signal });
    return await answers(socket, signal);
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function answers(socket: Socket, signal: AbortSignal): Promise<boolean> {
  socket.write("?");
  await once(socket, "data", { signal });
  return true;
}

async function asksUdp({ ns }: Place, to: string, port: number, signal: AbortSignal): Promise<boolean> {
  const addr = parseAddr(to);
  const socket = createSocket(addr.family === 4 ? "udp4" : "udp6");
  try {
    socket.bind({ fd: udpFd(ns, parseAddr(addr.family === 4 ? "0.0.0.0" : "::"), 0) });
    socket.send("?", port, to);
    await once(socket, "message", { signal });
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}

/** A connection that stays. */
export class Conversation {
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async start({ ns }: Place, to: string, port: number): Promise<Conversation> {
    const socket = connectSocket(ns, { addr: parseAddr(to), port });
    socket.on("error", () => {});
    await once(socket, "connect", { signal: AbortSignal.timeout(ANSWERED_MS) });
    return new Conversation(socket);
  }

  /** Whether what is said is answered. */
  async goesOn(expected: boolean): Promise<boolean> {
    try {
      return await answers(this.#socket, AbortSignal.timeout(expected ? ANSWERED_MS : REFUSED_MS));
    } catch {
      return false;
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
