// What the nodes get from the API: policies, Services and DNS of two nodes, told by an API in memory; and their policies once more without
// a kernel, for the model.
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { type Logger, silentLogger } from "#base";
import type { Client } from "#client";
import { createFakeClient, type FakeClient } from "#client/fake";
import { type DnsServer, startDnsServer } from "#dns";
import { FAMILIES, parseAddr, parsePrefix } from "#ip";
import { ENDPOINT_SLICES, type KubeObject, NAMESPACES, NETWORK_POLICIES, PODS, type Resource, SERVICES } from "#kube";
import { type NetNs, type NftSocket, openNft } from "#linux";
import { FakeNft } from "#linux/fake";
import type { Table, TableId } from "#nft";
import { type Policies, startPolicies } from "#policy";
import { type ServiceProxy, startProxy } from "#proxy";
import { CIDRS } from "../../src/node/proxy/testing.ts";
import { DNS, namespaceObjects, nodeAddr, PLACES, type Place, podCidr, podObject, serviceObjects } from "./network.ts";

const NODES = ["node-1", "node-2"] as const;

const POLICY_TABLE: TableId = { family: "inet", name: "fairlead-policy" };
const PROXY_TABLE: TableId = { family: "inet", name: "fairlead-proxy" };

const logger: Logger = {
  ...silentLogger,
  error: (message, fields) => console.error(`# ${message}`, fields),
  child: () => logger,
};

/** A policy by its `namespace/name`. */
type PolicySpecs = Readonly<Record<string, NetworkPolicySpec>>;

/** Labels of namespaces by name, and of pods by `namespace/name`; those that are not named have what they began with. */
type Labels = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface Given {
  readonly policies: PolicySpecs;
  readonly labels?: Labels;
}

export class PolicyCluster {
  readonly client: FakeClient = createFakeClient();
  readonly #namespaces: ReadonlyMap<string, NetNs>;
  readonly #followed = new Followed();
  readonly #sockets: NftSocket[] = [];
  readonly #planned = new Map<Place["node"], NftSocket>();
  readonly #policies: Policies[] = [];
  readonly #proxies: ServiceProxy[] = [];
  readonly #serviceTables = new Map<Place["node"], Table>();
  #dns: DnsServer | undefined;
  /** What there is, as JSON: what has not changed is not written. */
  readonly #written = new Map<string, string>();

  constructor(namespaces: ReadonlyMap<string, NetNs>) {
    this.#namespaces = namespaces;
    for (const object of namespaceObjects()) this.#seed(NAMESPACES, object);
    for (const pod of [...PLACES, DNS]) {
      this.#seed(PODS, podObject(pod));
      const { service, slices } = serviceObjects(pod);
      this.client.seed(SERVICES, service);
      for (const slice of slices) this.client.seed(ENDPOINT_SLICES, slice);
    }
  }

  async start(): Promise<void> {
    const client = this.#followed.through(this.client);
    for (const node of NODES) {
      const ns = this.#at(node);
      const nft = openNft(ns);
      const planned = new FakeNft();
      this.#sockets.push(nft, planned);
      this.#planned.set(node, planned);
      for (const socket of [nft, planned]) await this.#enforce(client, node, socket);
      const proxy = startProxy({
        netns: ns,
        client: this.client,
        node: { name: node, addresses: FAMILIES.map((family) => parseAddr(nodeAddr(node, family))) },
        ...CIDRS,
        localPodCidrs: FAMILIES.map((family) => parsePrefix(podCidr(node, family))),
        logger,
      });
      this.#proxies.push(proxy);
      await proxy.synced;
      const table = nft.list(PROXY_TABLE);
      if (table === undefined) throw new Error(`the proxy of ${node} has made no table`);
      this.#serviceTables.set(node, table);
    }
    this.#dns = await startDnsServer({ client: this.client, logger, addresses: [...FAMILIES].map((family) => DNS.addrs[family]) });
    await this.#dns.synced;
  }

  /** Makes it what there is, and resolves when both nodes have it. */
  async give({ policies, labels = {} }: Given): Promise<void> {
    const labelled = <T extends KubeObject>(object: T, own: Readonly<Record<string, string>> | undefined): T =>
      own === undefined ? object : { ...object, metadata: { ...object.metadata, labels: { ...own } } };
    for (const object of namespaceObjects()) await this.#write(NAMESPACES, labelled(object, labels[object.metadata?.name ?? ""]));
    for (const pod of PLACES) await this.#write(PODS, labelled(podObject(pod), labels[pod.key]));
    for (const [key, spec] of Object.entries(policies)) {
      const [namespace = "", name = ""] = key.split("/");
      await this.#write(NETWORK_POLICIES, {
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { namespace, name },
        spec,
      });
    }
    for (const key of this.#policyKeys()) {
      if (policies[key] !== undefined) continue;
      const [namespace = "", name = ""] = key.split("/");
      this.#written.delete(`networkpolicies ${key}`);
      await this.client.delete(NETWORK_POLICIES, { namespace, name });
      this.#followed.expect(NETWORK_POLICIES, (await this.client.list(NETWORK_POLICIES)).resourceVersion);
    }
    await this.#followed.caughtUp();
  }

  /** What the node's rooms have compiled, in the order of their tables. */
  tables(node: Place["node"]): Table[] {
    const policy = this.#planned.get(node)?.list(POLICY_TABLE);
    const services = this.#serviceTables.get(node);
    return [services, policy].flatMap((table) => table ?? []);
  }

  async close(): Promise<void> {
    for (const policies of this.#policies) policies.stop();
    for (const proxy of this.#proxies) proxy.stop();
    for (const socket of this.#sockets) socket.close();
    await this.#dns?.close();
  }

  async #enforce(client: Client, node: Place["node"], nft: NftSocket): Promise<void> {
    const policies = startPolicies({ client, nodeName: node, nft, logger });
    this.#policies.push(policies);
    policies.open([]);
    for (const pod of [...PLACES, DNS].filter((each) => each.node === node)) {
      const [namespace = "", name = ""] = pod.key.split("/");
      const { metadata } = await this.client.get(PODS, { namespace, name });
      await policies.add({
        containerId: pod.key,
        namespace,
        name,
        uid: metadata.uid,
        addrs: FAMILIES.map((family) => parseAddr(pod.addrs[family])),
      });
    }
    await policies.ready;
  }

  #at(name: string): NetNs {
    const ns = this.#namespaces.get(name);
    if (ns === undefined) throw new Error(`there is no namespace ${name}`);
    return ns;
  }

  #seed<T extends KubeObject>(resource: Resource<T>, object: T): void {
    const { namespace, name } = object.metadata ?? {};
    this.#written.set(`${resource.plural} ${namespace === undefined ? "" : `${namespace}/`}${name}`, JSON.stringify(object));
    this.client.seed(resource, object);
  }

  #policyKeys(): string[] {
    return [...this.#written.keys()].flatMap((id) => (id.startsWith("networkpolicies ") ? [id.slice("networkpolicies ".length)] : []));
  }

  async #write<T extends KubeObject>(resource: Resource<T>, object: T): Promise<void> {
    const { namespace, name } = object.metadata ?? {};
    const id = `${resource.plural} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
    const text = JSON.stringify(object);
    if (this.#written.get(id) === text) return;
    const isNew = !this.#written.has(id);
    this.#written.set(id, text);
    const { metadata } = isNew ? this.client.seed(resource, object) : await this.client.update(resource, object);
    this.#followed.expect(resource, metadata.resourceVersion);
  }
}

/** Knows what of an API in memory has come to all that watch it. */
class Followed {
  readonly #seen: { plural: string; version: number }[] = [];
  readonly #newest = new Map<string, number>();

  through(client: Client): Client {
    const seen = this.#seen;
    const watch: Client["watch"] = (resource, options) => {
      const own = { plural: resource.plural, version: Number(options?.resourceVersion ?? 0) };
      seen.push(own);
      const events = client.watch(resource, options);
      return (async function* () {
        for await (const event of events) {
          yield event;
          // Whoever asks for the next one has done with this one.
          own.version = Number(event.type === "BOOKMARK" ? event.resourceVersion : event.object.metadata.resourceVersion);
        }
      })();
    };
    return {
      get: (...args) => client.get(...args),
      list: (...args) => client.list(...args),
      create: (...args) => client.create(...args),
      update: (...args) => client.update(...args),
      patch: (...args) => client.patch(...args),
      delete: (...args) => client.delete(...args),
      watch,
    };
  }

  expect(resource: Resource, version: string): void {
    this.#newest.set(resource.plural, Number(version));
  }

  /** Until every watch has had the newest of its kind; the work that it made begins in the same turn, and is not put off. */
  async caughtUp(): Promise<void> {
    while (this.#seen.some(({ plural, version }) => version < (this.#newest.get(plural) ?? 0))) await turn();
    for (let i = 0; i < 3; i++) await turn();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
