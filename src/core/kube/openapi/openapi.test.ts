import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { described } from "../schema/descriptions.ts";
import { packages, splitTypeName, typeNames, typeSchema } from "../schema/table.ts";
import { API_RESOURCES } from "../served.ts";
import { openApiDocument, openApiIndex } from "./index.ts";

type Json = Record<string, unknown>;

const GROUP_VERSIONS: readonly { group: string; version: string }[] = [
  ...new Map(API_RESOURCES.map(({ resource: { group, version } }) => [group, { group, version }])).values(),
];

function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((inner, key) => (typeof inner === "object" && inner !== null ? (inner as Json)[key] : undefined), value);
}

const CORE: object = openApiDocument({ group: "", version: "v1" }, API_RESOURCES);

test("the index names each group version with a hash", () => {
  assert.deepEqual(
    openApiIndex(GROUP_VERSIONS.slice(0, 2), ({ group }) => (group === "" ? "1" : "2")),
    {
      paths: {
        "api/v1": { serverRelativeURL: "/openapi/v3/api/v1?hash=1" },
        "apis/apps/v1": { serverRelativeURL: "/openapi/v3/apis/apps/v1?hash=2" },
      },
    },
  );
});

test("a PATCH operation is found by its kind and has fieldValidation", () => {
  const patch = at(CORE, "paths", "/api/v1/namespaces/{namespace}/pods/{name}", "patch");
  assert.deepEqual(at(patch, "x-kubernetes-group-version-kind"), { group: "", kind: "Pod", version: "v1" });
  assert.equal(at(patch, "x-kubernetes-action"), "patch");
  const names = (at(patch, "parameters") as Json[]).map((parameter) => parameter["name"]);
  assert.deepEqual(names, ["dryRun", "fieldManager", "fieldValidation", "force", "pretty"]);
  assert.deepEqual(Object.keys(at(patch, "requestBody", "content") as Json).sort(), [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
  ]);
});

test("paths follow scope, verbs and subresources", () => {
  const paths = Object.keys(at(CORE, "paths") as Json);
  for (const path of [
    "/api/v1/pods",
    "/api/v1/namespaces/{namespace}/pods",
    "/api/v1/namespaces/{namespace}/pods/{name}/log",
    "/api/v1/namespaces/{namespace}/pods/{name}/eviction",
    "/api/v1/nodes/{name}/status",
    "/api/v1/namespaces/{name}/finalize",
    "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
  ]) {
    assert.ok(paths.includes(path), path);
  }
  assert.ok(!paths.includes("/api/v1/namespaces/{namespace}/nodes"));
  assert.ok(!paths.includes("/api/v1/namespaces/{namespace}/configmaps/{name}/status"));
  assert.equal(at(CORE, "paths", "/api/v1/namespaces", "delete"), undefined, "namespaces have no deletecollection");
  assert.equal(at(CORE, "paths", "/api/v1/namespaces/{namespace}/pods/{name}/exec", "get", "x-kubernetes-action"), "connect");
});

test("schemas carry merge rules, list types and kinds", () => {
  const schemas = at(CORE, "components", "schemas");
  const containers = at(schemas, "io.k8s.api.core.v1.PodSpec", "properties", "containers") as Json;
  assert.deepEqual(containers, {
    description: "The containers that run side by side, at least one.",
    type: "array",
    items: { allOf: [{ $ref: "#/components/schemas/io.k8s.api.core.v1.Container" }] },
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "x-kubernetes-patch-strategy": "merge",
    "x-kubernetes-patch-merge-key": "name",
  });
  assert.deepEqual(at(schemas, "io.k8s.api.core.v1.PodSpec", "required"), ["containers"]);
  assert.deepEqual(at(schemas, "io.k8s.api.core.v1.Pod", "x-kubernetes-group-version-kind"), [{ group: "", version: "v1", kind: "Pod" }]);
  assert.equal(at(schemas, "io.k8s.apimachinery.pkg.util.intstr.IntOrString", "format"), "int-or-string");
});

test("every reference leads somewhere, and every operation has an id of its own", () => {
  for (const groupVersion of GROUP_VERSIONS) {
    const document = openApiDocument(groupVersion, API_RESOURCES);
    const schemas = at(document, "components", "schemas") as Json;
    const text = JSON.stringify(document);
    for (const [, name = ""] of text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
      assert.ok(schemas[name], `${groupVersion.group}: ${name}`);
      assert.notDeepEqual(schemas[name], { type: "object" }, name);
    }
    const ids = [...text.matchAll(/"operationId":"([^"]+)"/g)].map((match) => match[1]);
    assert.equal(new Set(ids).size, ids.length, ids.filter((id, i) => ids.indexOf(id) !== i).join());
  }
});

test("what we describe is there", () => {
  const known = new Set(
    packages()
      .flatMap(typeNames)
      .flatMap((name) => {
        const { pkg, type } = splitTypeName(name);
        return [`${pkg}.${type}`, ...Object.keys(typeSchema(name)?.fields ?? {}).map((field) => `${pkg}.${type}.${field}`)];
      }),
  );
  for (const name of described()) assert.ok(known.has(name) || name.startsWith("Kind."), name);
});

/** Discovery and OpenAPI of a server that has nothing else. */
function serveDocuments(): Promise<Server> {
  const answers = new Map<string, unknown>();
  answers.set(
    "/openapi/v3",
    openApiIndex(GROUP_VERSIONS, () => "1"),
  );
  answers.set("/api", { kind: "APIVersions", versions: ["v1"] });
  const groups = GROUP_VERSIONS.filter(({ group }) => group !== "");
  const named = groups.map(({ group: name, version }) => {
    const versions = [{ groupVersion: `${name}/${version}`, version }];
    return { name, versions, preferredVersion: versions[0] };
  });
  answers.set("/apis", { kind: "APIGroupList", apiVersion: "v1", groups: named });
  for (const { group, version } of GROUP_VERSIONS) {
    const path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const own = API_RESOURCES.filter(({ resource }) => resource.group === group);
    const resources = own.map(({ resource, verbs }) => ({ ...resource, name: resource.plural, singularName: resource.singular, verbs }));
    answers.set(path, {
      kind: "APIResourceList",
      apiVersion: "v1",
      groupVersion: group === "" ? version : `${group}/${version}`,
      resources,
    });
    answers.set(`/openapi/v3${path}`, openApiDocument({ group, version }, API_RESOURCES));
  }
  const server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    if (path === "/openapi/v2") {
      // kubectl before 1.29 asks for it first, and is content with an empty document.
      response.writeHead(200, { "content-type": "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" });
      response.end();
      return;
    }
    const answer = answers.get(path);
    response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? {}));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** Debian's, and those of the Google Cloud SDK, one per minor version. */
const KUBECTLS: readonly string[] = [
  "/usr/bin/kubectl",
  ...[27, 28, 29, 30, 31, 32, 33].map((minor) => `/usr/lib/google-cloud-sdk/bin/kubectl.1.${minor}`),
].filter((path) => existsSync(path));

test("kubectl explain renders it, whatever its version", { skip: KUBECTLS.length === 0 ? "no kubectl is installed" : false }, async () => {
  const server = await serveDocuments();
  try {
    const { port } = server.address() as AddressInfo;
    await Promise.all(KUBECTLS.map((path) => explainAll(path, port)));
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

async function explainAll(kubectl: string, port: number): Promise<void> {
  const explain = async (...args: readonly string[]): Promise<string> => {
    const options = { env: { HOME: "/nonexistent", KUBECONFIG: "/dev/null" } };
    const { stdout } = await promisify(execFile)(kubectl, ["--server", `http://127.0.0.1:${port}`, "explain", ...args], options);
    return stdout;
  };
  const containers = await explain("pod.spec.containers", "--recursive");
  assert.match(containers, /KIND: {7}Pod\nVERSION: {4}v1\n\nFIELD: containers <\[\]Container>/, kubectl);
  assert.match(containers, /\n {2}ports\t<\[\]ContainerPort>\n {4}containerPort\t<integer> -required-/, kubectl);
  assert.match(containers, /\n {6}port\t<IntOrString> -required-/, kubectl);
  assert.match(await explain("deployment.spec"), /replicas\t<integer>\n {4}How many pods should run\. Default: 1\./, kubectl);
  assert.match(await explain("networkpolicies.spec.ingress.from"), /ipBlock\t<IPBlock>/, kubectl);
  assert.match(await explain("node.status.capacity"), /FIELD: capacity <map\[string\]Quantity>/, kubectl);
}
