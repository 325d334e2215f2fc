import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isKind, packages, splitTypeName, typeNames, typeSchema } from "../schema/table.ts";
import { decodeProtobuf, isProtobuf } from "./index.ts";
import { numbersOf } from "./numbers/index.ts";

// Newer than the generated.proto files that the numbers were read from (1.35): alpha fields of 1.36.
const NEWER: ReadonlySet<string> = new Set([
  "core.v1.NodeAllocatableResourceClaimStatus",
  "core.v1.PodSchedulingGroup",
  "core.v1.PodSpec.schedulingGroup",
  "core.v1.PodStatus.nodeAllocatableResourceClaimStatuses",
  "meta.v1.ListMeta.shardInfo",
  "meta.v1.ShardInfo",
]);

// Custom resources elsewhere: clients send them as JSON.
const WITHOUT_NUMBERS: ReadonlySet<string> = new Set(["policy.v1alpha2"]);

function namesIn(pkg: string, message: string): string[] {
  const numbers = numbersOf(pkg, message);
  assert.ok(numbers, `${pkg}.${message} has no numbers`);
  return [...numbers.values()].flatMap((field) => (field.form === "inlined" ? namesIn(pkg, field.name) : [field.name]));
}

test("every field of every type has a number, and every number a field", () => {
  for (const name of packages().flatMap(typeNames)) {
    const { pkg, type } = splitTypeName(name);
    const schema = typeSchema(name);
    if (schema === undefined || WITHOUT_NUMBERS.has(pkg) || NEWER.has(`${pkg}.${type}`)) continue;
    const typeMeta = isKind(schema) ? ["apiVersion", "kind"] : [];
    const expected = Object.keys(schema.fields).filter((field) => !typeMeta.includes(field) && !NEWER.has(`${pkg}.${type}.${field}`));
    assert.deepEqual(namesIn(pkg, type).sort(), expected.sort(), name);
  }
});

// A small encoder: what go-to-protobuf's Marshal does, field by field.
type Piece = readonly number[];

function varint(value: number | bigint): Piece {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return bytes;
}

function int(field: number, value: number | bigint): Piece {
  return [...varint(field << 3), ...varint(value)];
}

function message(field: number, ...pieces: readonly Piece[]): Piece {
  const body = pieces.flat();
  return [...varint((field << 3) | 2), ...varint(body.length), ...body];
}

function string(field: number, text: string): Piece {
  return message(field, [...new TextEncoder().encode(text)]);
}

function entry(field: number, key: string, value: Piece): Piece {
  return message(field, string(1, key), value);
}

function body(apiVersion: string, kind: string, ...raw: readonly Piece[]): Uint8Array {
  const envelope = [message(1, string(1, apiVersion), string(2, kind)), message(2, ...raw), string(3, ""), string(4, "")];
  return Uint8Array.from([0x6b, 0x38, 0x73, 0, ...envelope.flat()]);
}

test("a Pod as a typed client sends it", () => {
  const meta = message(
    1,
    string(1, "web"),
    string(3, "default"),
    message(8),
    entry(11, "app", string(2, "web")),
    message(17, string(1, "kubectl"), message(4, int(1, 1_700_000_000), int(2, 0)), message(7, string(1, '{"f:a":{}}'))),
  );
  const container = message(
    2,
    string(1, "c"),
    string(2, "agnhost"),
    message(6, int(3, 80), string(4, "TCP")),
    message(7, string(1, "IP"), message(3, message(1, string(1, "v1"), string(2, "status.podIP")))),
    message(7, string(1, "K"), message(3, message(3, message(1, string(1, "cm")), string(2, "key"), int(3, 0)))),
    message(8, entry(1, "cpu", message(2, string(1, "100m")))),
    message(11, message(1, message(2, string(1, "/"), message(2, int(1, 1), int(2, 0), string(3, "http")))), int(2, 5)),
    message(15, int(4, 1000), int(5, 0)),
  );
  const volume = message(1, string(1, "v"), message(2, message(19, message(1, string(1, "cm")), int(3, 420))));
  const ephemeral = message(34, message(1, string(1, "debug"), string(2, "toolbox")), string(2, "c"));
  const pod = body("v1", "Pod", meta, message(2, volume, container, string(3, "Always"), int(4, 30), ephemeral), message(3));
  assert.equal(isProtobuf(pod), true);
  assert.deepEqual(decodeProtobuf(pod), {
    apiVersion: "v1",
    kind: "Pod",
    unknown: [],
    object: {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: "web",
        namespace: "default",
        labels: { app: "web" },
        managedFields: [{ manager: "kubectl", time: "2023-11-14T22:13:20Z", fieldsV1: { "f:a": {} } }],
      },
      spec: {
        volumes: [{ name: "v", configMap: { name: "cm", defaultMode: 420 } }],
        containers: [
          {
            name: "c",
            image: "agnhost",
            ports: [{ containerPort: 80, protocol: "TCP" }],
            env: [
              { name: "IP", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "status.podIP" } } },
              { name: "K", valueFrom: { configMapKeyRef: { name: "cm", key: "key", optional: false } } },
            ],
            resources: { limits: { cpu: "100m" } },
            readinessProbe: { httpGet: { path: "/", port: "http" }, initialDelaySeconds: 5 },
            securityContext: { runAsUser: 1000, runAsNonRoot: false },
          },
        ],
        restartPolicy: "Always",
        terminationGracePeriodSeconds: 30,
        ephemeralContainers: [{ name: "debug", image: "toolbox", targetContainerName: "c" }],
      },
      status: {},
    },
  });
});

test("the further kinds that kubectl sends", () => {
  const spec = message(2, message(1, string(1, "default"), string(2, "list"), string(5, "pods")));
  assert.deepEqual(
    decodeProtobuf(body("authorization.k8s.io/v1", "SelfSubjectAccessReview", message(1), spec, message(3, int(1, 0)))).object,
    {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectAccessReview",
      metadata: {},
      spec: { resourceAttributes: { namespace: "default", verb: "list", resource: "pods" } },
      status: { allowed: false },
    },
  );
  assert.deepEqual(
    decodeProtobuf(body("apps/v1", "DeleteOptions", int(1, 0), message(2, string(1, "u")), string(4, "Foreground"), string(5, "All")))
      .object,
    {
      apiVersion: "apps/v1",
      kind: "DeleteOptions",
      gracePeriodSeconds: 0,
      preconditions: { uid: "u" },
      propagationPolicy: "Foreground",
      dryRun: ["All"],
    },
  );
  const lease = decodeProtobuf(
    body("coordination.k8s.io/v1", "Lease", message(2, string(1, "n"), int(2, 40), message(4, int(1, 1_700_000_000), int(2, 123_456_789)))),
  );
  assert.deepEqual(lease.object, {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    spec: { holderIdentity: "n", leaseDurationSeconds: 40, renewTime: "2023-11-14T22:13:20.123456Z" },
  });
  const review = decodeProtobuf(
    body("authentication.k8s.io/v1", "TokenReview", message(3, message(2, entry(4, "k", message(2, string(1, "a"), string(1, "b")))))),
  );
  assert.deepEqual(review.object, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    status: { user: { extra: { k: ["a", "b"] } } },
  });
  const secret = decodeProtobuf(body("v1", "Secret", entry(2, "a", message(2, [104, 105])), string(3, "Opaque")));
  assert.deepEqual(secret.object, { apiVersion: "v1", kind: "Secret", data: { a: "aGk=" }, type: "Opaque" });
});

test("negative numbers, packed lists and times before 1970", () => {
  const job = body(
    "batch/v1",
    "Job",
    message(2, int(7, -1), message(11, message(1, string(1, "Ignore"), message(2, message(3, varint(1), varint(300)))))),
  );
  assert.deepEqual(decodeProtobuf(job).object, {
    apiVersion: "batch/v1",
    kind: "Job",
    spec: { backoffLimit: -1, podFailurePolicy: { rules: [{ action: "Ignore", onExitCodes: { values: [1, 300] } }] } },
  });
  const namespace = body("v1", "Namespace", message(1, message(8, int(1, -1), int(2, 0))));
  assert.deepEqual(decodeProtobuf(namespace).object.metadata, { creationTimestamp: "1969-12-31T23:59:59Z" });
});

test("an unknown number is reported, with the path to it", () => {
  const { object, unknown } = decodeProtobuf(
    body("v1", "Pod", message(2, message(2, string(1, "c"), int(99, 1)), message(42, string(1, "w")))),
  );
  assert.deepEqual(unknown, ['unknown field "spec.containers[0].#99"', 'unknown field "spec.#42"']);
  assert.deepEqual(object, { apiVersion: "v1", kind: "Pod", spec: { containers: [{ name: "c" }] } });
});

test("damaged bodies and unknown kinds are errors that say so", () => {
  assert.throws(() => decodeProtobuf(new TextEncoder().encode("{}")), /does not begin with "k8s"/);
  assert.throws(
    () => decodeProtobuf(body("example.com/v1", "Foo")),
    /kind "Foo" of "example.com\/v1" cannot be read as protobuf; send application\/json/,
  );
  assert.throws(
    () => decodeProtobuf(body("v1", "Pod", [0x0a, 0x05, 0x01])),
    /cannot read the protobuf message: it ends at byte 3, before byte 7/,
  );
  assert.throws(() => decodeProtobuf(body("v1", "Pod", int(1, 5))), /metadata has wire type 0, not 2/);
  assert.throws(() => decodeProtobuf(body("v1", "Pod", message(1, message(1, [0xff])))), /is not UTF-8/);
});

test("any bytes either decode or are refused with an InputError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      try {
        decodeProtobuf(body("v1", "Pod", [...noise]));
      } catch (err) {
        assert.match(String(err), /cannot read the protobuf message/);
      }
    }),
  );
});
