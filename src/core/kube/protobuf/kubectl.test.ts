// What a real kubectl sends: from 1.32 on its typed clients write protobuf. Its own `--dry-run=client -o json` says what was meant.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { decodeObject } from "../schema/decode.ts";
import type { KubeObject } from "../types.ts";
import { type DecodedProtobuf, decodeProtobuf, isProtobuf } from "./index.ts";

/** The newest first: those before 1.32 send JSON. */
const KUBECTL: string | undefined = ["/usr/lib/google-cloud-sdk/bin/kubectl.1.33", "/usr/bin/kubectl"].find((path) => existsSync(path));
const missing: string | false = KUBECTL === undefined ? "no kubectl is installed" : false;

interface Sent {
  readonly path: string;
  readonly body: Uint8Array;
}

const sent: Sent[] = [];
let server: Server;

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const isRead = request.method === "GET";
  if (!isRead) sent.push({ path: (request.url ?? "").split("?")[0] ?? "", body });
  const made = isProtobuf(body) ? { ...decodeProtobuf(body).object, status: { token: "t", allowed: true } } : {};
  response.writeHead(isRead ? 404 : 201, { "content-type": "application/json" });
  response.end(JSON.stringify(isRead ? { kind: "Status", apiVersion: "v1", code: 404 } : made));
}

before(async () => {
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

after(() => {
  server.close();
  server.closeAllConnections();
});

async function kubectl(...args: readonly string[]): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const options = { env: { HOME: "/nonexistent", KUBECONFIG: "/dev/null" } };
  const { stdout } = await promisify(execFile)(KUBECTL ?? "kubectl", ["--server", `http://127.0.0.1:${port}`, ...args], options);
  return stdout;
}

/** Undefined when this kubectl (before 1.32) sent JSON. */
async function decodedFrom(...args: readonly string[]): Promise<DecodedProtobuf | undefined> {
  sent.length = 0;
  await kubectl(...args);
  const body = sent[0]?.body ?? new Uint8Array();
  return isProtobuf(body) ? decodeProtobuf(body) : undefined;
}

function canonical(value: object): KubeObject {
  const { apiVersion = "", kind = "" } = value as KubeObject;
  const slash = apiVersion.indexOf("/");
  const { object, problems } = decodeObject(
    { group: apiVersion.slice(0, Math.max(slash, 0)), version: apiVersion.slice(slash + 1), kind },
    value,
  );
  assert.deepEqual(problems, []);
  return object;
}

const CREATED: readonly (readonly string[])[] = [
  ["deployment", "web", "--image=agnhost:1", "--replicas=0", "--port=80", "--", "agnhost", "netexec"],
  ["service", "nodeport", "web", "--tcp=80:http", "--tcp=53:5353", "--node-port=30080"],
  ["service", "externalname", "db", "--external-name=db.example.com"],
  ["configmap", "c", "--from-literal=a=b", "--from-literal=umlaut=ä"],
  ["secret", "generic", "s", "--from-literal=password=hunter2"],
  ["namespace", "shop"],
  ["job", "once", "--image=agnhost:1", "--", "true"],
  ["cronjob", "often", "--image=agnhost:1", "--schedule=*/5 * * * *"],
  ["ingress", "in", "--rule=a.example.com/x*=web:http,tls=cert"],
  ["quota", "q", "--hard=cpu=1500m,pods=10"],
  ["serviceaccount", "bot"],
];

test("kubectl create: every kind arrives as it was meant", { skip: missing }, async (t) => {
  for (const args of CREATED) {
    const decoded = await decodedFrom("create", ...args.slice(0, 1), "--save-config=false", ...args.slice(1));
    if (decoded === undefined) {
      t.skip("this kubectl is older than 1.32 and sends JSON");
      return;
    }
    const meant: object = JSON.parse(await kubectl("create", ...args.slice(0, 1), "--dry-run=client", "-o", "json", ...args.slice(1)));
    assert.deepEqual(decoded.unknown, [], args.join(" "));
    const { metadata: sentMeta, ...sentRest } = canonical(decoded.object);
    const { metadata: meantMeta, ...meantRest } = canonical(meant);
    assert.deepEqual(sentRest, meantRest, args.join(" "));
    assert.equal(sentMeta?.name, meantMeta?.name);
  }
});

test("kubectl asks about rights and tokens", { skip: missing }, async (t) => {
  const review = await decodedFrom("auth", "can-i", "list", "pods", "--namespace=shop");
  if (review === undefined) {
    t.skip("this kubectl is older than 1.32 and sends JSON");
    return;
  }
  assert.deepEqual(canonical(review.object), {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    metadata: {},
    spec: { resourceAttributes: { namespace: "shop", verb: "list", resource: "pods" } },
    status: { allowed: false },
  });
  const token = await decodedFrom("create", "token", "default", "--duration=20m", "--audience=a");
  assert.equal(sent[0]?.path, "/api/v1/namespaces/default/serviceaccounts/default/token");
  assert.deepEqual(token?.unknown, []);
  assert.deepEqual(canonical(token?.object ?? {}), {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: {},
    spec: { audiences: ["a"], expirationSeconds: 1200 },
    status: {},
  });
});
