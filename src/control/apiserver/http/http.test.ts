import assert from "node:assert/strict";
import { test } from "node:test";
import { negotiate } from "./negotiate.ts";
import { parseResourcePath } from "./route.ts";

test("paths name resources as upstream reads them", () => {
  const cases: [path: string, group: string, namespace: string | undefined, rest: string][] = [
    ["/api/v1/pods", "", undefined, "pods//"],
    ["/api/v1/namespaces", "", undefined, "namespaces//"],
    ["/api/v1/namespaces/a", "", undefined, "namespaces/a/"],
    ["/api/v1/namespaces/a/status", "", undefined, "namespaces/a/status"],
    ["/api/v1/namespaces/a/finalize", "", undefined, "namespaces/a/finalize"],
    ["/api/v1/namespaces/a/pods", "", "a", "pods//"],
    ["/api/v1/namespaces/a/pods/status", "", "a", "pods/status/"],
    ["/api/v1/namespaces/status/pods/x/log", "", "status", "pods/x/log"],
    ["/apis/apps/v1/namespaces/a/deployments/web/scale", "apps", "a", "deployments/web/scale"],
    ["/api/v1/nodes/n%2F1/proxy", "", undefined, "nodes/n/1/proxy"],
  ];
  for (const [path, group, namespace, rest] of cases) {
    const parsed = parseResourcePath(path);
    assert.equal(parsed?.group, group, path);
    assert.equal(parsed?.namespace, namespace, path);
    assert.equal(`${parsed?.plural}/${parsed?.name ?? ""}/${parsed?.subresource ?? ""}`, rest, path);
  }
  assert.equal(parseResourcePath("/healthz"), undefined);
  assert.equal(parseResourcePath("/apis/apps/v1"), undefined);
  assert.equal(parseResourcePath("/api/v1/watch/namespaces/a/pods")?.watch, true);
});

test("the path behind a proxy keeps its escapes and slashes", () => {
  const rest = (path: string): string | undefined => parseResourcePath(path)?.rest;
  assert.equal(rest("/api/v1/namespaces/proxy/pods/proxy/proxy"), "");
  assert.equal(rest("/api/v1/namespaces/proxy/pods/proxy/proxy/"), "/");
  assert.equal(rest("/api/v1/namespaces/a/services/https:web:x/proxy/a%2Fb//proxy/c"), "/a%2Fb//proxy/c");
});

test("the first clause that can be served decides the form", () => {
  const table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
  assert.deepEqual(negotiate(table), { encoding: "json", projection: "table", version: "v1" });
  assert.equal(negotiate("application/vnd.kubernetes.protobuf,application/json").projection, "full");
  assert.equal(
    negotiate(
      "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ).projection,
    "partial",
  );
  assert.equal(negotiate("application/json;as=Nothing;v=v1;g=meta.k8s.io,*/*").projection, "full");
  assert.equal(negotiate("application/yaml").encoding, "yaml");
  assert.equal(negotiate("application/yaml;q=0.5, application/json").encoding, "json");
  assert.throws(() => negotiate("application/vnd.kubernetes.protobuf"), { code: "NotAcceptable" });
});
