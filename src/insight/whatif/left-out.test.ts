import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Namespace, Service } from "kubernetes-types/core/v1";
import type { KubeObject, Stored } from "#kube";
import { applyChanges } from "./change.ts";
import { NO_OBJECTS } from "./objects.ts";

type Labels = Readonly<Record<string, string>>;

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

interface Applied {
  /** By manager: keys that it has set; those of "update" are not applied. */
  readonly managers?: Readonly<Record<string, readonly string[]>>;
  readonly annotation?: string;
}

function namespace(labels: Labels, { managers = {}, annotation }: Applied): Stored<Namespace> {
  const managedFields = Object.entries(managers).map(([manager, keys]) => ({
    manager,
    operation: manager === "update" ? "Update" : "Apply",
    fieldsV1: { "f:metadata": { "f:labels": { ".": {}, ...Object.fromEntries(keys.map((key) => [`f:${key}`, {}])) } } },
  }));
  const annotations = annotation === undefined ? {} : { [LAST_APPLIED]: annotation };
  const metadata = { name: "pay", uid: "pay", resourceVersion: "1", creationTimestamp: "", labels, annotations, managedFields };
  return { apiVersion: "v1", kind: "Namespace", metadata };
}

/** The labels after the manifest, without the API server's own, and the notes. */
function apply(live: Stored<Namespace>, labels: Labels | undefined): { labels: Labels; notes: readonly string[] } {
  const object: KubeObject = { apiVersion: "v1", kind: "Namespace", metadata: { name: "pay", ...(labels && { labels }) } };
  const before = { ...NO_OBJECTS, namespaces: new Map([["pay", live]]) };
  const { objects, notes } = applyChanges(before, { objects: [{ object, where: "ns.yaml" }], isDelete: false, namespace: "default" });
  const { "kubernetes.io/metadata.name": _, ...rest } = objects.namespaces.get("pay")?.metadata.labels ?? {};
  return { labels: rest, notes };
}

suite("what apply removes", () => {
  test("labels that the same manager applied before and the file does not have", () => {
    const live = namespace({ team: "red", tier: "a", hand: "x" }, { managers: { fairlead: ["team", "tier"], update: ["hand"] } });
    assert.deepEqual(apply(live, { tier: "b" }), {
      labels: { tier: "b", hand: "x" },
      notes: [
        'ns.yaml: Namespace "pay" loses metadata.labels["team"]: fairlead or kubectl --server-side applied it before, and the file does not have it',
      ],
    });
    assert.deepEqual(apply(live, undefined).labels, { hand: "x" });
  });

  test("what another manager has set too stays, and what others applied", () => {
    const live = namespace({ team: "red", flux: "x" }, { managers: { kubectl: ["team"], update: ["team"], flux: ["flux"] } });
    assert.deepEqual(apply(live, {}), { labels: { team: "red", flux: "x" }, notes: [] });
  });

  test("kubectl's annotation", () => {
    const annotation = JSON.stringify({ metadata: { name: "pay", labels: { team: "red", gone: "x" } } });
    const live = namespace({ team: "red", hand: "x" }, { annotation });
    const { labels, notes } = apply(live, {});
    assert.deepEqual(labels, { hand: "x" });
    assert.equal(notes.length, 1);
    for (const bad of ["{", "null", "[]", '{"metadata":{"labels":7}}']) {
      assert.deepEqual(apply(namespace({ team: "red" }, { annotation: bad }), {}).labels, { team: "red" }, bad);
    }
  });

  test("a selector of a Service", () => {
    const applied = { spec: { selector: { app: "web", version: "1" } } };
    const metadata = { name: "web", namespace: "shop", uid: "web", resourceVersion: "1", creationTimestamp: "" };
    const live: Stored<Service> = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { ...metadata, annotations: { [LAST_APPLIED]: JSON.stringify(applied) } },
      spec: { clusterIP: "10.96.0.1", ...applied.spec },
    };
    const object = { apiVersion: "v1", kind: "Service", metadata: { name: "web", namespace: "shop" }, spec: { selector: { app: "web" } } };
    const before = { ...NO_OBJECTS, services: new Map([["shop/web", live]]) };
    const { objects } = applyChanges(before, { objects: [{ object, where: "web.yaml" }], isDelete: false, namespace: "default" });
    assert.deepEqual(objects.services.get("shop/web")?.spec, { clusterIP: "10.96.0.1", selector: { app: "web" } });
  });
});
