import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DEPLOYMENTS, ENDPOINT_SLICES, LEASES, PODS, RESOURCES, SECRETS, SERVICES } from "../resources.ts";
import { decodeObject, decodingErrorMessage, strictDecodingError } from "./decode.ts";

function service(spec: unknown): unknown {
  return { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec };
}

test("an object comes out as it went in, in canonical form", () => {
  const { object, unknown, problems } = decodeObject(
    PODS,
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "a", creationTimestamp: null, labels: {}, annotations: { x: null } },
      spec: {
        containers: [
          {
            name: "c",
            image: "i",
            args: [],
            stdin: false,
            resources: { limits: { cpu: "1000m", memory: 1024 } },
            env: [{ name: "A", value: "" }],
          },
        ],
        terminationGracePeriodSeconds: 0,
        hostNetwork: false,
        automountServiceAccountToken: false,
        nodeName: "",
        securityContext: {},
      },
    },
    "Strict",
  );
  assert.deepEqual([...unknown, ...problems], []);
  assert.deepEqual(object, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", annotations: { x: "" } },
    spec: {
      containers: [{ name: "c", image: "i", resources: { limits: { cpu: "1", memory: "1024" } }, env: [{ name: "A" }] }],
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      securityContext: {},
    },
  });
});

test("unknown fields are dropped and told of by their path", () => {
  const value = { apiVersion: "v1", kind: "Pod", spec: { foo: 1, containers: [{ name: "c", imagee: "x" }] }, constructor: {} };
  const decoded = decodeObject(PODS, value, "Strict");
  assert.deepEqual(decoded.unknown, [
    'unknown field "spec.foo"',
    'unknown field "spec.containers[0].imagee"',
    'unknown field "constructor"',
  ]);
  assert.deepEqual(decoded.object, { apiVersion: "v1", kind: "Pod", spec: { containers: [{ name: "c" }] } });
  assert.deepEqual(decodeObject(PODS, value, "Ignore").unknown, []);
  assert.equal(
    decodingErrorMessage(PODS, strictDecodingError(decoded.unknown.slice(0, 1))),
    'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo"',
  );
});

test("values of the wrong type are told of in Go's words, with path and value", () => {
  const { problems, object } = decodeObject(DEPLOYMENTS, {
    spec: { replicas: "three", template: { spec: { containers: [{ ports: [{ containerPort: 1.5 }] }] } } },
  });
  assert.deepEqual(problems, [
    'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32 (spec.replicas: "three")',
    "json: cannot unmarshal number 1.5 into Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type int32 (spec.template.spec.containers[0].ports[0].containerPort: 1.5)",
  ]);
  assert.deepEqual(object, { spec: { template: { spec: { containers: [{ ports: [{}] }] } } } });
  const wrong = (spec: unknown): readonly string[] => decodeObject(SERVICES, service(spec)).problems;
  assert.deepEqual(wrong({ ports: { port: 1 } }), [
    'json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort (spec.ports: {"port":1})',
  ]);
  assert.deepEqual(wrong({ selector: ["a"] }), [
    'json: cannot unmarshal array into Go struct field ServiceSpec.spec.selector of type map[string]string (spec.selector: ["a"])',
  ]);
  assert.deepEqual(wrong({ selector: { a: 1 } }), [
    "json: cannot unmarshal number into Go struct field ServiceSpec.spec.selector of type string (spec.selector.a: 1)",
  ]);
  assert.deepEqual(wrong({ ports: [{ port: 3000000000 }] }).length, 1);
  assert.deepEqual(decodeObject(SERVICES, []).problems, ["json: cannot unmarshal array into Go value of type v1.Service"]);
});

test("texts of a form are checked and made canonical", () => {
  const pod = (limits: unknown): ReturnType<typeof decodeObject> =>
    decodeObject(PODS, { spec: { containers: [{ name: "c", resources: { limits } }] } });
  assert.match(
    pod({ cpu: "abc" }).problems.join(),
    /quantities must match the regular expression .* \(spec\.containers\[0\]\.resources\.limits\.cpu: "abc"\)/,
  );
  assert.match(pod({ cpu: true }).problems.join(), /cannot unmarshal bool into .* of type resource\.Quantity/);
  assert.deepEqual(pod({ cpu: 0.5 }).object, { spec: { containers: [{ name: "c", resources: { limits: { cpu: "500m" } } }] } });
  const lease = decodeObject(LEASES, {
    metadata: { deletionTimestamp: "2024-01-01T02:00:00.9+02:00" },
    spec: { renewTime: "2024-01-01T00:00:00.12Z" },
  });
  assert.deepEqual(lease.object, {
    metadata: { deletionTimestamp: "2024-01-01T00:00:00Z" },
    spec: { renewTime: "2024-01-01T00:00:00.120000Z" },
  });
  assert.match(decodeObject(LEASES, { spec: { renewTime: "soon" } }).problems.join(), /parsing time "soon" .*\(spec\.renewTime: "soon"\)/);
  assert.deepEqual(decodeObject(SECRETS, { data: { a: "aGk=" } }).object, { data: { a: "aGk=" } });
  assert.match(decodeObject(SECRETS, { data: { a: "a" } }).problems.join(), /illegal base64 data \(data\.a: "a"\)/);
});

test("numbers or strings, null in lists, and lists that stay empty", () => {
  assert.deepEqual(
    decodeObject(SERVICES, service({ ports: [{ port: 80, targetPort: "http" }, null] })).object,
    service({ ports: [{ port: 80, targetPort: "http" }, {}] }),
  );
  assert.deepEqual(decodeObject(ENDPOINT_SLICES, { addressType: "IPv4", endpoints: [], ports: null }).object, {
    addressType: "IPv4",
    endpoints: [],
  });
  assert.deepEqual(
    decodeObject(ENDPOINT_SLICES, {
      addressType: "",
      endpoints: [{ addresses: ["::1"], conditions: { ready: false }, deprecatedTopology: {} }],
    }).object,
    {
      addressType: "",
      endpoints: [{ addresses: ["::1"], conditions: { ready: false } }],
    },
  );
});

test("a Scale to nothing keeps its 0", () => {
  const scale = { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "web" }, spec: { replicas: 0 } };
  assert.deepEqual(decodeObject({ group: "autoscaling", version: "v1", kind: "Scale" }, scale).object, scale);
});

test("a key of a user's map never reaches a prototype", () => {
  const value: unknown = JSON.parse('{"metadata":{"labels":{"__proto__":"x","constructor":"y"},"__proto__":{"name":"evil"}}}');
  const { object, unknown } = decodeObject(PODS, value, "Warn");
  assert.equal(JSON.stringify(object), '{"metadata":{"labels":{"__proto__":"x","constructor":"y"}}}');
  assert.deepEqual(unknown, ['unknown field "metadata.__proto__"']);
});

test("whatever is sent, decoding ends, and what came out comes out again", () => {
  fc.assert(
    fc.property(fc.constantFrom(...RESOURCES), fc.jsonValue({ maxDepth: 4 }), (resource, spec) => {
      const first = decodeObject(resource, { metadata: spec, spec, data: spec }, "Strict");
      const second = decodeObject(resource, first.object, "Strict");
      assert.deepEqual(second, { object: first.object, unknown: [], problems: [] });
    }),
  );
});
