// Says to the API that this node is there: its Node object, and a Lease that is renewed while it lives.
import type { Lease } from "kubernetes-types/coordination/v1";
import type { Node } from "kubernetes-types/core/v1";
import { backoffMs, type Clock, errorMessage, formatMicroTime, type Logger } from "#base";
import { type Client, isAlreadyExists, isConflict, isNotFound } from "#client";
import { LEASES, NODES, type Stored } from "#kube";
import { type NodeFacts, nodeLabels, nodeObject, nodeStatus, type Readiness } from "./node-object.ts";

export interface NodeReporterOptions {
  readonly client: Client;
  readonly facts: NodeFacts;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

const LEASE_NAMESPACE = "kube-node-lease";
const LEASE_SECONDS = 40;
const RENEW_MS = 10_000;
/** The status is written when it changes, and otherwise this often (`nodeStatusReportFrequency`). */
const STATUS_MS = 300_000;
const RETRY = { initialMs: 100, maxMs: 7000 };

const STARTING: Readiness = { ready: false, message: "container runtime network not ready" };
const READY: Readiness = { ready: true, message: "kubelet is posting ready status" };

export class NodeReporter {
  readonly #options: NodeReporterOptions;
  #readiness: Readiness = STARTING;
  #registered = false;
  #reported: Readiness | undefined;

  constructor(options: NodeReporterOptions) {
    this.#options = options;
  }

  /** Resolves when the Node object is there. Goes on until the signal aborts. */
  async start(): Promise<void> {
    await this.#insist("register the node", () => this.#register());
    this.#registered = true;
    void this.#renewForEver();
    void this.#reportForEver();
  }

  /** Resolves when the API knows. */
  async setReady(): Promise<void> {
    this.#readiness = READY;
    if (this.#registered && this.#reported !== READY) await this.#insist("report the node's status", () => this.#report());
  }

  async #insist(what: string, attempt: () => Promise<void>): Promise<void> {
    const { clock, logger, signal } = this.#options;
    for (let tries = 0; !signal.aborted; tries++) {
      try {
        return await attempt();
      } catch (err) {
        if (tries > 2) logger.warn(`cannot ${what}`, { err: errorMessage(err) });
        await clock.sleep(backoffMs(RETRY, tries), signal);
      }
    }
  }

  async #register(): Promise<void> {
    const { client, facts, clock } = this.#options;
    const readiness = this.#readiness;
    try {
      const created = await client.create(NODES, nodeObject(facts, readiness, clock.now()));
      // The status may be set with the object; a server that drops it gets it again.
      if (created.status?.addresses?.length === facts.addresses.length + 1) this.#reported = readiness;
      else await this.#report();
    } catch (err) {
      if (!isAlreadyExists(err)) throw err;
      const labels = nodeLabels(facts);
      await client.patch(NODES, { name: facts.name }, { type: "merge", body: { metadata: { labels } } });
      await this.#report();
    }
  }

  async #report(): Promise<void> {
    const { client, facts, clock } = this.#options;
    const readiness = this.#readiness;
    const key = { name: facts.name };
    const node: Stored<Node> = await client.get(NODES, key);
    const status = nodeStatus(facts, readiness, clock.now(), node.status);
    await client.patch(NODES, key, { type: "merge", body: { status } }, { subresource: "status" });
    this.#reported = readiness;
  }

  async #reportForEver(): Promise<void> {
    const { clock, signal } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(STATUS_MS, signal);
      if (!signal.aborted) await this.#insist("report the node's status", () => this.#reportOrRegister());
    }
  }

  /** Somebody may have deleted the Node object. */
  async #reportOrRegister(): Promise<void> {
    try {
      await this.#report();
    } catch (err) {
      if (!isNotFound(err)) throw err;
      await this.#register();
    }
  }

  async #renewForEver(): Promise<void> {
    const { clock, signal, logger } = this.#options;
    let lease: Stored<Lease> | undefined;
    while (!signal.aborted) {
      try {
        lease = await this.#renew(lease);
        await this.#putRight();
      } catch (err) {
        // Someone else wrote it, or it is gone: look at it anew.
        lease = undefined;
        if (!isConflict(err) && !isNotFound(err)) logger.warn("cannot renew the node's lease", { err: errorMessage(err) });
      }
      await clock.sleep(lease === undefined ? RENEW_MS / 10 : RENEW_MS, signal);
    }
  }

  /** While this node was silent, others may have called it not ready, or deleted it. */
  async #putRight(): Promise<void> {
    const { client, facts } = this.#options;
    const node = await client.get(NODES, { name: facts.name }).catch(undefinedWhenMissing);
    if (node === undefined) return this.#register();
    const ready = node.status?.conditions?.find((condition) => condition.type === "Ready")?.status;
    if (ready !== (this.#readiness.ready ? "True" : "False")) await this.#report();
  }

  async #renew(known: Stored<Lease> | undefined): Promise<Stored<Lease>> {
    const { client, facts, clock } = this.#options;
    const renewTime = formatMicroTime(clock.now());
    const key = { namespace: LEASE_NAMESPACE, name: facts.name };
    const lease = known ?? (await client.get(LEASES, key).catch(undefinedWhenMissing));
    if (lease !== undefined) return client.update(LEASES, { ...lease, spec: { ...lease.spec, holderIdentity: facts.name, renewTime } });
    const { uid } = (await client.get(NODES, { name: facts.name })).metadata;
    return client.create(LEASES, {
      metadata: { ...key, ownerReferences: [{ apiVersion: "v1", kind: "Node", name: facts.name, uid }] },
      spec: { holderIdentity: facts.name, leaseDurationSeconds: LEASE_SECONDS, renewTime },
    });
  }
}

function undefinedWhenMissing(err: unknown): undefined {
  if (!isNotFound(err)) throw err;
  return undefined;
}
