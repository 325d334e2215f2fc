// For tests: keys, a server in this process, a server in a process of its own, and a small client.
import "reflect-metadata";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { silentLogger } from "#base";
import { parseAddr, parsePrefix } from "#ip";
import { EmbeddedStore } from "#store";
import { type ObjectVersion, VERSION_CODEC } from "./registry/version.ts";
import { type ApiServer, startApiServer } from "./server.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const HOUR_MS = 3_600_000;

export interface TestKeys {
  readonly ca: string;
  readonly server: { readonly certificate: string; readonly key: string };
  readonly admin: { readonly certificate: string; readonly key: string };
  readonly serviceAccountKey: string;
  readonly token: string;
}

export async function makeKeys(): Promise<TestKeys> {
  const dates = { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + HOUR_MS) };
  const authority = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const ca = await X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=test-ca",
    ...dates,
    keys: authority,
    signingAlgorithm: ALGORITHM,
    extensions: [new BasicConstraintsExtension(true, undefined, true), new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)],
  });
  const issue = async (subject: string, extensions: Extension[]): Promise<{ certificate: string; key: string }> => {
    const own = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const certificate = await X509CertificateGenerator.create({
      serialNumber: `1${randomBytes(8).toString("hex")}`,
      subject,
      issuer: ca.subject,
      ...dates,
      publicKey: own.publicKey,
      signingKey: authority.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions,
    });
    const key = PemConverter.encode(await crypto.subtle.exportKey("pkcs8", own.privateKey), "PRIVATE KEY");
    return { certificate: certificate.toString("pem"), key };
  };
  const names = new SubjectAlternativeNameExtension([
    { type: "dns", value: "localhost" },
    { type: "ip", value: "127.0.0.1" },
    { type: "ip", value: "::1" },
  ]);
  return {
    ca: ca.toString("pem"),
    server: await issue("CN=kube-apiserver", [names]),
    admin: await issue("O=system:masters,O=others,CN=admin", []),
    serviceAccountKey: (await issue("CN=service-accounts", [])).key,
    token: randomBytes(12).toString("hex"),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** A field of the JSON body, by its path: `spec.ports.0.port`; undefined where it is absent. */
  at(path: string): unknown;
}

export interface CallOptions {
  readonly body?: unknown;
  /** Sent as it is, instead of `body` as JSON. */
  readonly raw?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** "certificate" unless told. */
  readonly as?: "certificate" | "nobody" | { readonly token: string };
}

/** Where a test server is, and how to ask it. */
export interface TestEndpoint {
  readonly keys: TestKeys;
  readonly port: number;
}

export function open(endpoint: TestEndpoint, method: string, path: string, options: CallOptions = {}): Promise<IncomingMessage> {
  const { keys, port } = endpoint;
  const as = options.as ?? "certificate";
  const content = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  return new Promise((resolve, reject) => {
    const req = request({
      host: "127.0.0.1",
      port,
      path,
      method,
      ca: keys.ca,
      agent: false,
      ...(as === "certificate" ? { cert: keys.admin.certificate, key: keys.admin.key } : {}),
      headers: {
        ...(options.body === undefined ? {} : { "content-type": "application/json" }),
        // Node sends none with DELETE by itself.
        ...(content === undefined ? {} : { "content-length": String(Buffer.byteLength(content)) }),
        ...(typeof as === "object" ? { authorization: `Bearer ${as.token}` } : {}),
        ...options.headers,
      },
    });
    req.once("response", resolve);
    req.once("error", reject);
    req.end(content);
  });
}

export async function call(endpoint: TestEndpoint, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const response = await open(endpoint, method, path, options);
  let text = "";
  for await (const chunk of response as AsyncIterable<Buffer>) text += chunk.toString("utf8");
  return { status: response.statusCode ?? 0, headers: response.headers, text, at: (where) => dig(JSON.parse(text), where) };
}

export function dig(value: unknown, path: string): unknown {
  let at = value;
  for (const key of path === "" ? [] : path.split(".")) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[key];
  }
  return at;
}

/** The events of a watch, one by one. */
export async function* watchLines(response: IncomingMessage): AsyncGenerator<unknown> {
  let rest = "";
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const lines = (rest + chunk.toString("utf8")).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line);
  }
}

export interface TestServer extends TestEndpoint {
  readonly server: ApiServer;
  readonly store: EmbeddedStore<ObjectVersion>;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  close(): Promise<void>;
}

/** A server in this process with an empty store in memory. */
export async function startTestServer(keys: TestKeys): Promise<TestServer> {
  const store = new EmbeddedStore({ path: ":memory:", codec: VERSION_CODEC });
  const server = await startApiServer({
    store,
    logger: silentLogger,
    tls: { certificate: keys.server.certificate, key: keys.server.key, clientCa: keys.ca },
    addresses: [{ addr: parseAddr("127.0.0.1"), port: 0 }],
    tokens: new Map([[keys.token, { name: "token-user", uid: "7", groups: ["testers"] }]]),
    serviceAccountKey: keys.serviceAccountKey,
    kubeletToken: "kubelet-token",
    clusterDomain: "cluster.local",
    serviceCidrs: [parsePrefix("10.96.0.0/16"), parsePrefix("fd00:10:96::/112")],
    nodePorts: { first: 30000, last: 32767 },
    advertised: [parseAddr("172.18.0.1"), parseAddr("fd00:18::1")],
  });
  const endpoint = { keys, port: server.addresses[0]?.port ?? 0 };
  return {
    ...endpoint,
    server,
    store,
    call: (method, path, options) => call(endpoint, method, path, options),
    async close() {
      await server.close();
      store.close();
    },
  };
}

export interface TestProcess extends TestEndpoint {
  readonly directory: string;
  readonly kubeconfig: string;
  readonly process: ChildProcess;
  /** SIGKILL, then the same command again on the same store and port. */
  killAndRestart(): Promise<TestProcess>;
  /** Ends it and removes its files. */
  close(): Promise<void>;
}

/** The program itself, on files in a directory of its own. */
export async function startTestProcess(keys: TestKeys, again?: { directory: string; port: number }): Promise<TestProcess> {
  const directory = again?.directory ?? mkdtempSync(join(tmpdir(), "fairlead-apiserver-"));
  const port = again?.port ?? (await freePort());
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  const args = Object.entries({
    store: join(directory, "store.db"),
    listen: `127.0.0.1:${port}`,
    "unix-socket": join(directory, "api.sock"),
    "tls-cert": file("server.crt", keys.server.certificate),
    "tls-key": file("server.key", keys.server.key),
    "client-ca": file("ca.crt", keys.ca),
    "service-account-key": file("sa.key", keys.serviceAccountKey),
    "token-file": file("tokens.csv", `${keys.token},token-user,7,"testers"\n`),
    "advertise-address": "172.18.0.1,fd00:18::1",
  }).flatMap(([name, value]) => [`--${name}`, value]);
  const kubeconfig = file("kubeconfig", JSON.stringify(kubeconfigOf(keys, port)));
  const program = process.env["FAIRLEAD_TEST_APISERVER"] ?? new URL("../../app/apiserver/main.ts", import.meta.url).pathname;
  const env = { ...process.env, FAIRLEAD_READY_FD: "3", FAIRLEAD_LOG_LEVEL: "warn" };
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "inherit", "pipe"], env });
  await ready(child);
  return {
    keys,
    port,
    directory,
    kubeconfig,
    process: child,
    async killAndRestart() {
      await ended(child, "SIGKILL");
      return startTestProcess(keys, { directory, port });
    },
    async close() {
      await ended(child, "SIGTERM");
      rmSync(directory, { recursive: true });
    },
  };
}

function kubeconfigOf({ ca, admin }: TestKeys, port: number): object {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority-data": base64(ca) } }],
    users: [{ name: "test", user: { "client-certificate-data": base64(admin.certificate), "client-key-data": base64(admin.key) } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdio[3]?.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`the API server ended with ${code} before it was ready`)));
  });
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill(signal);
  });
}
