import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Pod } from "kubernetes-types/core/v1";
import { silentLogger } from "#base";
import { NODES, PODS, type Stored } from "#kube";
import {
  ApiError,
  type Change,
  createHttpClient,
  createInformer,
  type HttpClient,
  isConflict,
  isExpired,
  isNotFound,
  type WatchEvent,
} from "./index.ts";

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly contentType: string | undefined;
  readonly authorization: string | undefined;
  readonly body: string;
}

type Answer = (seen: Seen, res: ServerResponse, req: IncomingMessage) => void;

/** A server on a Unix socket that answers as the test says and writes down what it was asked. */
async function serve(answer: Answer) {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-client-"));
  const socketPath = join(dir, "api.sock");
  const seen: Seen[] = [];
  const server: Server = createServer((req, res) => {
    let body = "";
    req.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    req.on("end", () => {
      const entry = {
        method: req.method ?? "",
        url: req.url ?? "",
        contentType: req.headers["content-type"],
        authorization: req.headers.authorization,
        body,
      };
      seen.push(entry);
      answer(entry, res, req);
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const client: HttpClient = createHttpClient({ server: "http://localhost/", socketPath, token: "secret" });
  return {
    seen,
    client,
    socketPath,
    async [Symbol.asyncDispose]() {
      client.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(dir, { recursive: true });
    },
  };
}

function json(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function status(code: number, reason: string, message: string) {
  return { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message };
}

function pod(name: string, resourceVersion: string, uid = `uid-${name}`) {
  return { metadata: { name, namespace: "default", uid, resourceVersion, creationTimestamp: "2024-01-01T00:00:00Z" } };
}

function line(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}

function bookmark(resourceVersion: string, end: boolean): string {
  const annotations = end ? { "k8s.io/initial-events-end": "true" } : {};
  return line("BOOKMARK", { kind: "Pod", apiVersion: "v1", metadata: { resourceVersion, annotations } });
}

test("calls go to the paths, methods and content types of the API", async () => {
  await using server = await serve((_, res) => json(res, 200, pod("a", "1")));
  const { client, seen } = server;
  await client.get(PODS, { namespace: "ns", name: "a" });
  await client.create(PODS, { metadata: { generateName: "a-", namespace: "ns" } }, { fieldValidation: "Strict", fieldManager: "me" });
  await client.update(PODS, { metadata: { name: "a", namespace: "ns" } }, { subresource: "status" });
  await client.patch(PODS, { namespace: "ns", name: "a" }, { type: "json", body: [] });
  await client.patch(NODES, { name: "n" }, { type: "merge", body: {} }, { dryRun: true });
  await client.patch(NODES, { name: "n" }, { type: "strategic", body: {} });
  await client.patch(NODES, { name: "n" }, { type: "apply", body: {} }, { fieldManager: "me" });
  await client.create(PODS, { metadata: { name: "a", namespace: "ns" } }, { subresource: "binding" });
  await client.delete(PODS, { namespace: "ns", name: "a" }, { gracePeriodSeconds: 0, uid: "u" });
  assert.deepEqual(
    seen.map((s) => `${s.method} ${s.url} ${s.contentType ?? "-"}`),
    [
      "GET /api/v1/namespaces/ns/pods/a -",
      "POST /api/v1/namespaces/ns/pods?fieldValidation=Strict&fieldManager=me application/json",
      "PUT /api/v1/namespaces/ns/pods/a/status application/json",
      "PATCH /api/v1/namespaces/ns/pods/a application/json-patch+json",
      "PATCH /api/v1/nodes/n?dryRun=All application/merge-patch+json",
      "PATCH /api/v1/nodes/n application/strategic-merge-patch+json",
      "PATCH /api/v1/nodes/n?fieldManager=me&force=true application/apply-patch+yaml",
      "POST /api/v1/namespaces/ns/pods/a/binding application/json",
      "DELETE /api/v1/namespaces/ns/pods/a application/json",
    ],
  );
  assert.deepEqual(JSON.parse(seen[1]?.body ?? ""), { metadata: { generateName: "a-", namespace: "ns" }, apiVersion: "v1", kind: "Pod" });
  assert.equal(seen.at(-1)?.body, '{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,"preconditions":{"uid":"u"}}');
  assert.ok(seen.every((s) => s.authorization === "Bearer secret"));
});

test("a Status becomes an ApiError, also one without a Status in its body", async () => {
  await using server = await serve((seen, res) => {
    if (seen.url.endsWith("/missing")) json(res, 404, status(404, "NotFound", 'pods "missing" not found'));
    else if (seen.url.endsWith("/changed")) json(res, 409, status(409, "Conflict", "the object has been modified"));
    else res.writeHead(404).end("404 page not found\n");
  });
  const get = (name: string) => server.client.get(PODS, { namespace: "default", name });
  await assert.rejects(get("missing"), (err) => isNotFound(err) && err instanceof ApiError && err.message === 'pods "missing" not found');
  await assert.rejects(get("changed"), isConflict);
  await assert.rejects(get("plain"), (err) => isNotFound(err) && err instanceof ApiError && err.message === "HTTP 404: 404 page not found");
});

test("no server is an error that says where it was looked for", async () => {
  const client = createHttpClient({ server: "http://localhost", socketPath: "/nonexistent/api.sock" });
  await assert.rejects(client.get(PODS, { namespace: "d", name: "a" }), /Cannot get pods d\/a at unix:\/nonexistent\/api.sock: .*ENOENT/);
  client.close();
});

test("lists follow the continue token and fill in kind and apiVersion", async () => {
  await using server = await serve((seen, res) => {
    const second = seen.url.includes("continue=t%2F1");
    json(res, 200, { metadata: { resourceVersion: "7", ...(second ? {} : { continue: "t/1" }) }, items: [pod(second ? "b" : "a", "3")] });
  });
  const { items, resourceVersion } = await server.client.list(PODS, { labelSelector: "a in (b,c)", fieldSelector: "spec.nodeName=n" });
  assert.deepEqual(
    items.map((p) => `${p.apiVersion} ${p.kind} ${p.metadata.name}`),
    ["v1 Pod a", "v1 Pod b"],
  );
  assert.equal(resourceVersion, "7");
  assert.match(server.seen[0]?.url ?? "", /^\/api\/v1\/pods\?labelSelector=a%20in%20\(b%2Cc\)&fieldSelector=spec.nodeName%3Dn&limit=500$/);
});

async function collect(events: AsyncIterable<WatchEvent<Pod>>): Promise<string[]> {
  const out: string[] = [];
  for await (const event of events) {
    out.push(
      event.type === "BOOKMARK"
        ? `BOOKMARK ${event.resourceVersion} ${event.initialEventsEnd}`
        : `${event.type} ${event.object.metadata.name}`,
    );
  }
  return out;
}

test("a watch without a version is a WatchList; events may be split anywhere", async () => {
  const text =
    line("ADDED", pod("ä", "1")) +
    bookmark("5", true) +
    line("MODIFIED", pod("ä", "6")) +
    bookmark("7", false) +
    line("DELETED", pod("ä", "8"));
  await using server = await serve((_, res) => {
    res.writeHead(200);
    for (const byte of Buffer.from(text)) res.write(Buffer.from([byte]));
    res.end();
  });
  assert.deepEqual(await collect(server.client.watch(PODS)), ["ADDED ä", "BOOKMARK 5 true", "MODIFIED ä", "BOOKMARK 7 false", "DELETED ä"]);
  assert.equal(
    server.seen[0]?.url,
    "/api/v1/pods?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
  );
});

test("where WatchList is refused, a list and a watch give the same events", async () => {
  await using server = await serve((seen, res) => {
    if (seen.url.includes("sendInitialEvents")) json(res, 422, status(422, "Invalid", "sendInitialEvents is forbidden"));
    else if (seen.url.includes("watch=true")) res.writeHead(200).end(line("DELETED", pod("a", "8")));
    else json(res, 200, { metadata: { resourceVersion: "7" }, items: [pod("a", "3")] });
  });
  const expected = ["ADDED a", "BOOKMARK 7 true", "DELETED a"];
  assert.deepEqual(await collect(server.client.watch(PODS)), expected);
  assert.deepEqual(await collect(server.client.watch(PODS)), expected);
  assert.equal(server.seen.length, 5, "the refusal is remembered");
  assert.match(server.seen[2]?.url ?? "", /watch=true.*resourceVersion=7/);
});

test("an expired version is an error with code Expired, as HTTP status or in the stream", async () => {
  await using server = await serve((seen, res) => {
    if (seen.url.includes("resourceVersion=1")) json(res, 410, status(410, "Expired", "too old resource version"));
    else res.writeHead(200).end(line("ERROR", status(410, "Expired", "too old resource version")));
  });
  await assert.rejects(collect(server.client.watch(PODS, { resourceVersion: "1" })), isExpired);
  await assert.rejects(collect(server.client.watch(PODS, { resourceVersion: "2" })), isExpired);
});

test("a broken connection is an error, an abort is the end", async () => {
  await using server = await serve((_, res) => {
    res.writeHead(200);
    res.write(line("ADDED", pod("a", "1")), () => {
      if (server.seen.length === 1) res.destroy();
    });
  });
  await assert.rejects(collect(server.client.watch(PODS)), { code: "ConnectionLost" });
  const abort = new AbortController();
  const seen: string[] = [];
  for await (const event of server.client.watch(PODS, { signal: abort.signal })) {
    seen.push(event.type);
    abort.abort();
  }
  assert.deepEqual(seen, ["ADDED"]);
});

test("an informer reconnects where it was, relists when that is too old, and reports what vanished", async () => {
  const answers: Answer[] = [
    (_, res) => void res.writeHead(200).end(line("ADDED", pod("a", "1")) + line("ADDED", pod("b", "2")) + bookmark("5", true)),
    (_, res) => void res.writeHead(200).end(line("MODIFIED", pod("a", "6"))),
    (_, res) => json(res, 410, status(410, "Expired", "too old")),
    (_, res) => {
      res.writeHead(200);
      res.write(line("ADDED", pod("a", "6")) + line("ADDED", pod("c", "9", "c2")) + bookmark("10", true));
    },
  ];
  await using server = await serve((seen, res, req) => answers.shift()?.(seen, res, req));
  const abort = new AbortController();
  const changes: string[] = [];
  const gone = Promise.withResolvers<void>();
  const informer = createInformer(server.client, PODS, { signal: abort.signal, backoff: { initialMs: 1, maxMs: 1 } });
  informer.subscribe((change: Change<Pod>) => {
    changes.push(`${change.type} ${change.key}@${change.object.metadata.resourceVersion}`);
    if (change.type === "delete") gone.resolve();
  });
  await informer.synced;
  await gone.promise;
  assert.deepEqual(changes, ["set default/a@1", "set default/b@2", "set default/a@6", "set default/c@9", "delete default/b@2"]);
  assert.deepEqual(
    server.seen.map((s) => /resourceVersion=(\d+)/.exec(s.url)?.[1]),
    [undefined, "5", "6", undefined],
  );
  assert.deepEqual(
    informer.list("default").map((p: Stored<Pod>) => p.metadata.name),
    ["a", "c"],
  );
  assert.deepEqual(informer.list("other"), []);
  abort.abort();
});

test("a kind that the API does not have is nothing, quietly, until it has it; and nothing again when it is taken away", async () => {
  let count = 0;
  await using server = await serve((_, res) => {
    count++;
    if (count !== 3) res.writeHead(404, { "content-type": "text/plain" }).end("404 page not found\n");
    else res.writeHead(200, { "content-type": "application/json" }).end(line("ADDED", pod("a", "1")) + bookmark("5", true));
  });
  const abort = new AbortController();
  const warned: string[] = [];
  const logger = { ...silentLogger, warn: (message: string) => warned.push(message), child: () => logger };
  const informer = createInformer(server.client, PODS, { signal: abort.signal, retryAbsentMs: 1, logger });
  await informer.synced;
  assert.deepEqual(informer.list(), []);
  const changes: string[] = [];
  const gone = Promise.withResolvers<void>();
  informer.subscribe(({ type, key }) => {
    changes.push(`${type} ${key}`);
    if (type === "delete") gone.resolve();
  });
  await gone.promise;
  while (count < 20) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([changes, warned], [["set default/a", "delete default/a"], []]);
  abort.abort();
});
