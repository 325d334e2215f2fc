import assert from "node:assert/strict";
import { test } from "node:test";
import { RESOURCES } from "../resources.ts";
import { atomicFacts, listFacts, pointerFacts } from "./facts.ts";
import { isKind, packages, schemaFor, splitTypeName, typeNames, typeSchema } from "./table.ts";
import type { FieldSchema } from "./types.ts";

const NAMES: readonly string[] = packages().flatMap(typeNames);

function innermost(field: FieldSchema): FieldSchema {
  return field.items === undefined ? field : innermost(field.items);
}

test("every kind that the API serves has a type, and so has its list", () => {
  for (const resource of RESOURCES) {
    assert.ok(schemaFor(resource), resource.kind);
    const list = schemaFor({ ...resource, kind: `${resource.kind}List` });
    const items = list?.fields["items"]?.items;
    assert.equal(items?.ref, schemaFor(resource)?.name);
  }
});

test("every type that a field names is there", () => {
  for (const name of NAMES) {
    for (const [field, schema] of Object.entries(typeSchema(name)?.fields ?? {})) {
      const { ref } = innermost(schema);
      if (ref !== undefined) assert.ok(typeSchema(ref), `${name}.${field} → ${ref}`);
    }
  }
});

test("what is written down by hand is about fields that exist", () => {
  const short = (name: string): string => `${splitTypeName(name).pkg}.${splitTypeName(name).type}`;
  const known = new Set(
    NAMES.flatMap((name) => [short(name), ...Object.keys(typeSchema(name)?.fields ?? {}).map((f) => `${short(name)}.${f}`)]),
  );
  for (const fact of [...listFacts(), ...pointerFacts(), ...atomicFacts()]) assert.ok(known.has(fact.replace(".*", "")), fact);
});

test("a list of objects that is merged is merged by a field that they have", () => {
  for (const name of NAMES) {
    for (const [field, schema] of Object.entries(typeSchema(name)?.fields ?? {})) {
      const item = schema.items?.ref === undefined ? undefined : typeSchema(schema.items.ref);
      for (const key of [schema.mergeKey, ...(schema.listMapKeys ?? [])]) {
        if (key !== undefined) assert.ok(item?.fields[key], `${name}.${field} by ${key}`);
      }
    }
  }
});

test("kinds that clients send are found in the group that they are sent in", () => {
  const name = (group: string, kind: string): string | undefined => schemaFor({ group, version: "v1", kind })?.name;
  assert.equal(name("apps", "DeleteOptions"), "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
  assert.equal(name("meta.k8s.io", "PartialObjectMetadata"), "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata");
  assert.equal(name("autoscaling", "Scale"), "io.k8s.api.autoscaling.v1.Scale");
  assert.equal(name("policy", "Eviction"), "io.k8s.api.policy.v1.Eviction");
  assert.equal(name("authentication.k8s.io", "SelfSubjectReview"), "io.k8s.api.authentication.v1.SelfSubjectReview");
  assert.equal(name("", "PodSpec"), undefined, "a part of a kind is no kind");
  assert.equal(name("", "LabelSelector"), undefined);
  assert.equal(schemaFor({ group: "apps", version: "v1beta1", kind: "Deployment" }), undefined);
});

test("only what stands alone is a kind", () => {
  const kind = (name: string): boolean => isKind(typeSchema(name) ?? { name, fields: {} });
  assert.equal(kind("io.k8s.api.core.v1.Pod"), true);
  assert.equal(kind("io.k8s.api.core.v1.ObjectReference"), false);
  assert.equal(kind("io.k8s.api.core.v1.TypedLocalObjectReference"), false);
  assert.equal(kind("io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference"), false);
});

test("fields carry their types, formats and merge rules", () => {
  const pod = typeSchema("io.k8s.api.core.v1.PodSpec")?.fields ?? {};
  assert.deepEqual(pod["volumes"], {
    type: "array",
    items: { type: "object", ref: "io.k8s.api.core.v1.Volume" },
    patchStrategy: "merge,retainKeys",
    mergeKey: "name",
    listType: "map",
    listMapKeys: ["name"],
  });
  assert.deepEqual(pod["tolerations"]?.listType, "atomic");
  assert.deepEqual(pod["nodeSelector"], { type: "map", items: { type: "string" }, atomic: true });
  assert.deepEqual(pod["overhead"], { type: "map", items: { type: "quantity" } });
  assert.deepEqual(pod["priority"], { type: "integer", format: "int32", pointer: true });
  assert.deepEqual(pod["securityContext"], { type: "object", ref: "io.k8s.api.core.v1.PodSecurityContext" });
  const meta = typeSchema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")?.fields ?? {};
  assert.deepEqual(meta["finalizers"], { type: "array", items: { type: "string" }, patchStrategy: "merge", listType: "set" });
  assert.deepEqual(typeSchema("io.k8s.api.coordination.v1.LeaseSpec")?.fields["renewTime"], { type: "microTime" });
  assert.deepEqual(typeSchema("io.k8s.api.core.v1.ServicePort")?.fields["targetPort"], { type: "intOrString" });
  assert.equal(typeSchema("io.k8s.api.apps.v1.DeploymentSpec")?.fields["strategy"]?.patchStrategy, "retainKeys");
  assert.equal(typeSchema("io.k8s.api.core.v1.PersistentVolumeSpec")?.fields["claimRef"]?.atomic, undefined);
  assert.equal(typeSchema("io.k8s.api.core.v1.Binding")?.fields["target"]?.atomic, true);
  assert.equal(typeSchema("io.k8s.api.core.v1.PodSpec")?.fields["constructor"], undefined);
});
