// Strategic merge along the API's own schema: patches as kubectl sends them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { typeSchema } from "../schema/index.ts";
import { applyStrategicMergePatch, type JsonObject } from "./index.ts";

function deployment(template: JsonObject, rest: JsonObject = {}): JsonObject {
  return { apiVersion: "apps/v1", kind: "Deployment", spec: { template: { spec: template }, ...rest } };
}
const web = {
  name: "web",
  image: "a:1",
  env: [
    { name: "A", value: "1" },
    { name: "B", value: "2" },
  ],
  ports: [{ containerPort: 80, protocol: "TCP" }],
};

// [what kubectl did, type, before, patch, after]
const CASES: [string, string, JsonObject, JsonObject, JsonObject][] = [
  [
    "set image",
    "io.k8s.api.apps.v1.Deployment",
    deployment({ containers: [web, { name: "side", image: "s" }] }),
    deployment({ containers: [{ name: "side", image: "s:2" }] }),
    deployment({ containers: [web, { name: "side", image: "s:2" }] }),
  ],
  [
    "apply with an env variable changed, one removed and one added",
    "io.k8s.api.apps.v1.Deployment",
    deployment({ containers: [web] }),
    deployment({
      "$setElementOrder/containers": [{ name: "web" }],
      containers: [
        {
          name: "web",
          "$setElementOrder/env": [{ name: "C" }, { name: "A" }],
          env: [
            { name: "C", value: "3" },
            { name: "A", value: "9" },
            { name: "B", $patch: "delete" },
          ],
        },
      ],
    }),
    deployment({
      containers: [
        {
          ...web,
          env: [
            { name: "C", value: "3" },
            { name: "A", value: "9" },
          ],
        },
      ],
    }),
  ],
  [
    "apply of another strategy",
    "io.k8s.api.apps.v1.Deployment",
    deployment({}, { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%" } } }),
    deployment({}, { strategy: { $retainKeys: ["type"], type: "Recreate", rollingUpdate: null } }),
    deployment({}, { strategy: { type: "Recreate" } }),
  ],
  [
    "a volume of another kind",
    "io.k8s.api.core.v1.Pod",
    {
      spec: {
        volumes: [
          { name: "v", emptyDir: {} },
          { name: "w", emptyDir: {} },
        ],
      },
    },
    { spec: { volumes: [{ name: "v", $retainKeys: ["name", "configMap"], configMap: { name: "c" } }] } },
    {
      spec: {
        volumes: [
          { name: "v", configMap: { name: "c" } },
          { name: "w", emptyDir: {} },
        ],
      },
    },
  ],
  [
    "ports of a Service, by number",
    "io.k8s.api.core.v1.Service",
    { spec: { ports: [{ name: "http", port: 80, targetPort: 8080 }] } },
    { spec: { "$setElementOrder/ports": [{ port: 80 }, { port: 443 }], ports: [{ port: 443, name: "https" }] } },
    {
      spec: {
        ports: [
          { name: "http", port: 80, targetPort: 8080 },
          { port: 443, name: "https" },
        ],
      },
    },
  ],
  [
    "taint: an atomic list",
    "io.k8s.api.core.v1.Node",
    { spec: { taints: [{ key: "a", effect: "NoSchedule" }] } },
    { spec: { taints: [{ key: "b", effect: "NoExecute" }] } },
    { spec: { taints: [{ key: "b", effect: "NoExecute" }] } },
  ],
  [
    "conditions, by type",
    "io.k8s.api.core.v1.Node",
    {
      status: {
        conditions: [
          { type: "Ready", status: "False" },
          { type: "DiskPressure", status: "False" },
        ],
      },
    },
    {
      status: {
        "$setElementOrder/conditions": [{ type: "Ready" }, { type: "DiskPressure" }],
        conditions: [{ type: "Ready", status: "True" }],
      },
    },
    {
      status: {
        conditions: [
          { type: "Ready", status: "True" },
          { type: "DiskPressure", status: "False" },
        ],
      },
    },
  ],
  [
    "labels and annotations",
    "io.k8s.api.core.v1.Pod",
    { metadata: { labels: { a: "1" }, finalizers: ["x", "y"] } },
    { metadata: { labels: { b: "2", a: null }, "$deleteFromPrimitiveList/finalizers": ["x"] } },
    { metadata: { labels: { b: "2" }, finalizers: ["y"] } },
  ],
];
for (const [what, type, before, patch, after] of CASES) {
  test(`${what} (${type.replace(/.*\./, "")})`, () => assert.deepEqual(applyStrategicMergePatch(before, patch, type, typeSchema), after));
}
