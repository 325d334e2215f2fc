// What every client promises, run over the fake and over HTTP against the API server. Each case works in a namespace of its own.
import assert from "node:assert/strict";
import type { Deployment } from "kubernetes-types/apps/v1";
import type { ConfigMap, Pod } from "kubernetes-types/core/v1";
import { CONFIG_MAPS, DEPLOYMENTS, type KubeObject, NAMESPACES, PODS, type Resource } from "#kube";
import { POD_BINDINGS } from "./bindings.ts";
import { isAlreadyExists, isConflict, isNotFound } from "./errors.ts";
import { createInformer } from "./informer.ts";
import type { Change, Client, WatchEvent, WatchOptions } from "./types.ts";

export interface ContractCase {
  readonly name: string;
  run(client: Client, namespace: string): Promise<void>;
}

function configMap(namespace: string, name: string, labels: Record<string, string> = {}): ConfigMap {
  return { metadata: { namespace, name, labels }, data: { a: "1" } };
}

function pod(namespace: string, name: string): Pod {
  return { metadata: { namespace, name }, spec: { containers: [{ name: "c", image: "agnhost" }] } };
}

function deployment(namespace: string): Deployment {
  const labels = { app: "web" };
  const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "agnhost" }] } };
  return { metadata: { namespace, name: "web" }, spec: { replicas: 1, selector: { matchLabels: labels }, template } };
}

/** Reads events until `count` that are not bookmarks have come. */
async function take<T extends KubeObject>(client: Client, resource: Resource<T>, options: WatchOptions, count: number): Promise<string[]> {
  const abort = new AbortController();
  const out: string[] = [];
  for await (const event of client.watch(resource, { ...options, signal: abort.signal })) {
    if (event.type === "BOOKMARK") continue;
    out.push(`${event.type} ${event.object.metadata.name}`);
    if (out.length === count) abort.abort();
  }
  return out;
}

const createAndGet: ContractCase = {
  name: "create gives identity, get finds it, a second create is AlreadyExists",
  async run(client, namespace) {
    const created = await client.create(CONFIG_MAPS, configMap(namespace, "a"));
    assert.equal(created.kind, "ConfigMap");
    assert.equal(created.apiVersion, "v1");
    assert.match(created.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.notEqual(created.metadata.uid, "");
    assert.ok(Number(created.metadata.resourceVersion) > 0);
    assert.deepEqual(await client.get(CONFIG_MAPS, { namespace, name: "a" }), created);
    await assert.rejects(client.create(CONFIG_MAPS, configMap(namespace, "a")), isAlreadyExists);
  },
};

const notFound: ContractCase = {
  name: "get, update, patch and delete of what is not there are NotFound, with the API's words",
  async run(client, namespace) {
    const key = { namespace, name: "none" };
    await assert.rejects(client.get(DEPLOYMENTS, key), (err) => {
      return isNotFound(err) && err instanceof Error && err.message === 'deployments.apps "none" not found';
    });
    await assert.rejects(client.update(CONFIG_MAPS, configMap(namespace, "none")), isNotFound);
    await assert.rejects(client.patch(CONFIG_MAPS, key, { type: "merge", body: { data: { a: "2" } } }), isNotFound);
    await assert.rejects(client.delete(CONFIG_MAPS, key), isNotFound);
  },
};

const generateName: ContractCase = {
  name: "generateName makes names that differ",
  async run(client, namespace) {
    const make = () => client.create(CONFIG_MAPS, { metadata: { namespace, generateName: "web-" } });
    const [a, b] = [await make(), await make()];
    assert.match(a.metadata.name, /^web-.{5}$/);
    assert.notEqual(a.metadata.name, b.metadata.name);
  },
};

const conflicts: ContractCase = {
  name: "an update of an old version is a Conflict, one without a version is not, one without a change changes nothing",
  async run(client, namespace) {
    const first = await client.create(CONFIG_MAPS, configMap(namespace, "a"));
    const second = await client.update(CONFIG_MAPS, { ...first, data: { a: "2" } });
    assert.ok(Number(second.metadata.resourceVersion) > Number(first.metadata.resourceVersion));
    await assert.rejects(client.update(CONFIG_MAPS, { ...first, data: { a: "3" } }), isConflict);
    const same = await client.update(CONFIG_MAPS, second);
    assert.equal(same.metadata.resourceVersion, second.metadata.resourceVersion);
    const third = await client.update(CONFIG_MAPS, { metadata: { namespace, name: "a" }, data: { a: "4" } });
    assert.deepEqual(third.data, { a: "4" });
    assert.equal(third.metadata.uid, first.metadata.uid);
  },
};

const status: ContractCase = {
  name: "spec and status are written apart; the generation counts changes of the spec",
  async run(client, namespace) {
    const created = await client.create(DEPLOYMENTS, deployment(namespace));
    assert.equal(created.metadata.generation, 1);
    const withStatus = await client.update(
      DEPLOYMENTS,
      { ...created, spec: { ...deployment(namespace).spec, replicas: 9 } as NonNullable<Deployment["spec"]>, status: { replicas: 1 } },
      { subresource: "status" },
    );
    assert.equal(withStatus.spec?.replicas, 1);
    assert.equal(withStatus.status?.replicas, 1);
    assert.equal(withStatus.metadata.generation, 1);
    const body = { spec: { replicas: 3 }, status: { replicas: 7 } };
    const scaled = await client.patch(DEPLOYMENTS, { namespace, name: "web" }, { type: "merge", body });
    assert.equal(scaled.spec?.replicas, 3);
    assert.equal(scaled.status?.replicas, 1);
    assert.equal(scaled.metadata.generation, 2);
  },
};

const patches: ContractCase = {
  name: "patches: merge, JSON, strategic, and one with an old version is a Conflict",
  async run(client, namespace) {
    const key = { namespace, name: "a" };
    const first = await client.create(CONFIG_MAPS, configMap(namespace, "a", { x: "1" }));
    const merged = await client.patch(CONFIG_MAPS, key, { type: "merge", body: { metadata: { labels: { x: null, y: "2" } } } });
    assert.deepEqual(merged.metadata.labels, { y: "2" });
    const json = await client.patch(CONFIG_MAPS, key, { type: "json", body: [{ op: "replace", path: "/data/a", value: "2" }] });
    assert.deepEqual(json.data, { a: "2" });
    const strategic = await client.patch(CONFIG_MAPS, key, { type: "strategic", body: { data: { b: "3" } } });
    assert.deepEqual(strategic.data, { a: "2", b: "3" });
    const stale = { metadata: { resourceVersion: first.metadata.resourceVersion }, data: { a: "9" } };
    await assert.rejects(client.patch(CONFIG_MAPS, key, { type: "merge", body: stale }), isConflict);
  },
};

const finalizers: ContractCase = {
  name: "an object with a finalizer stays until the finalizer is gone",
  async run(client, namespace) {
    const key = { namespace, name: "a" };
    const object = configMap(namespace, "a");
    await client.create(CONFIG_MAPS, { ...object, metadata: { ...object.metadata, finalizers: ["fairlead.dev/test"] } });
    await client.delete(CONFIG_MAPS, key);
    const deleting = await client.get(CONFIG_MAPS, key);
    assert.notEqual(deleting.metadata.deletionTimestamp, undefined);
    await client.patch(CONFIG_MAPS, key, { type: "merge", body: { metadata: { finalizers: null } } });
    await assert.rejects(client.get(CONFIG_MAPS, key), isNotFound);
  },
};

const preconditions: ContractCase = {
  name: "a delete with another uid is a Conflict",
  async run(client, namespace) {
    const { metadata } = await client.create(CONFIG_MAPS, configMap(namespace, "a"));
    await assert.rejects(client.delete(CONFIG_MAPS, { namespace, name: "a" }, { uid: "00000000-dead-4000-8000-000000000000" }), isConflict);
    await client.delete(CONFIG_MAPS, { namespace, name: "a" }, { uid: metadata.uid });
    await assert.rejects(client.get(CONFIG_MAPS, { namespace, name: "a" }), isNotFound);
  },
};

const binding: ContractCase = {
  name: "a pod is bound once, and deleted gracefully from then on",
  async run(client, namespace) {
    const key = { namespace, name: "p" };
    await client.create(PODS, pod(namespace, "p"));
    const bind = (node: string) => {
      const body = { metadata: key, target: { apiVersion: "v1", kind: "Node", name: node } };
      return client.create(POD_BINDINGS, body, { subresource: "binding" });
    };
    await bind("node-1");
    await assert.rejects(bind("node-2"), isConflict);
    assert.equal((await client.get(PODS, key)).spec?.nodeName, "node-1");
    await client.delete(PODS, key);
    assert.equal((await client.get(PODS, key)).metadata.deletionGracePeriodSeconds, 30);
    await client.delete(PODS, key, { gracePeriodSeconds: 0 });
    await assert.rejects(client.get(PODS, key), isNotFound);
  },
};

const selectors: ContractCase = {
  name: "lists are in the order of names, of one namespace, by labels and by fields",
  async run(client, namespace) {
    for (const name of ["c", "a", "b"]) await client.create(CONFIG_MAPS, configMap(namespace, name, { odd: String(name !== "b") }));
    const names = async (options: object) =>
      (await client.list(CONFIG_MAPS, { namespace, ...options })).items
        .map((item) => item.metadata.name)
        .filter((name) => name.length === 1);
    assert.deepEqual(await names({}), ["a", "b", "c"]);
    assert.deepEqual(await names({ labelSelector: "odd=true" }), ["a", "c"]);
    assert.deepEqual(await names({ labelSelector: "odd notin (true)", fieldSelector: "metadata.name=b" }), ["b"]);
    const { items, resourceVersion } = await client.list(CONFIG_MAPS, { namespace, labelSelector: "none=1" });
    assert.equal(items.length, 0);
    assert.ok(Number(resourceVersion) > 0);
  },
};

const watching: ContractCase = {
  name: "a watch from a version replays what came after it, through its selector",
  async run(client, namespace) {
    const { metadata } = await client.create(CONFIG_MAPS, configMap(namespace, "a", { on: "1" }));
    await client.create(CONFIG_MAPS, configMap(namespace, "b"));
    const label = (value: string | null) => ({ type: "merge" as const, body: { metadata: { labels: { on: value } } } });
    await client.patch(CONFIG_MAPS, { namespace, name: "b" }, label("1"));
    await client.patch(CONFIG_MAPS, { namespace, name: "a" }, label(null));
    await client.delete(CONFIG_MAPS, { namespace, name: "b" });
    const from = { namespace, resourceVersion: metadata.resourceVersion };
    assert.deepEqual(await take(client, CONFIG_MAPS, from, 4), ["ADDED b", "MODIFIED b", "MODIFIED a", "DELETED b"]);
    assert.deepEqual(await take(client, CONFIG_MAPS, { ...from, labelSelector: "on=1" }, 3), ["ADDED b", "DELETED a", "DELETED b"]);
  },
};

const watchList: ContractCase = {
  name: "a watch without a version begins with what is there and says when that is done",
  async run(client, namespace) {
    await client.create(CONFIG_MAPS, configMap(namespace, "a", { mine: "1" }));
    const abort = new AbortController();
    const seen: string[] = [];
    const options = { namespace, labelSelector: "mine=1", signal: abort.signal };
    for await (const event of client.watch(CONFIG_MAPS, options)) {
      seen.push(describe(event));
      if (event.type === "BOOKMARK" && event.initialEventsEnd) await client.create(CONFIG_MAPS, configMap(namespace, "b", { mine: "1" }));
      if (event.type !== "BOOKMARK" && event.object.metadata.name === "b") abort.abort();
    }
    assert.deepEqual(seen, ["ADDED a", "BOOKMARK", "ADDED b"]);
  },
};

function describe(event: WatchEvent<KubeObject>): string {
  return event.type === "BOOKMARK" ? event.type : `${event.type} ${event.object.metadata.name}`;
}

const informer: ContractCase = {
  name: "an informer tells what is there and what changes, to late listeners too",
  async run(client, namespace) {
    await client.create(CONFIG_MAPS, configMap(namespace, "a", { mine: "1" }));
    const copy = createInformer(client, CONFIG_MAPS, { namespace, labelSelector: "mine=1" });
    await copy.synced;
    const changes: string[] = [];
    const deleted = Promise.withResolvers<void>();
    copy.subscribe((change: Change<ConfigMap>) => {
      changes.push(`${change.type} ${change.object.metadata.name}${change.type === "set" && change.old !== undefined ? " again" : ""}`);
      if (change.type === "delete") deleted.resolve();
    });
    await client.patch(CONFIG_MAPS, { namespace, name: "a" }, { type: "merge", body: { data: { a: "2" } } });
    await client.delete(CONFIG_MAPS, { namespace, name: "a" });
    await deleted.promise;
    copy.stop();
    assert.deepEqual(changes, ["set a", "set a again", "delete a"]);
    assert.deepEqual(copy.list(), []);
  },
};

export const CLIENT_CONTRACT: readonly ContractCase[] = [
  createAndGet,
  notFound,
  generateName,
  conflicts,
  status,
  patches,
  finalizers,
  preconditions,
  binding,
  selectors,
  watching,
  watchList,
  informer,
];

/** Runs one case in a new namespace. */
export async function runContractCase(contractCase: ContractCase, client: Client, namespace: string): Promise<void> {
  await client.create(NAMESPACES, { metadata: { name: namespace } });
  await contractCase.run(client, namespace);
}
