// What is passed on: to a stand-in for the kubelet, and to a stand-in for a pod.
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { request } from "node:https";
import { after, before, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { WebSocket, WebSocketServer } from "ws";
import { ObjectVersion } from "../registry/version.ts";
import { makeKeys, open, startTestServer, type TestServer } from "../testing.ts";

let server: TestServer;
let kubelet: Server;
let port = 0;
const seen: string[] = [];

before(async () => {
  server = await startTestServer(await makeKeys());
  kubelet = createServer((req, res) => {
    seen.push(`${req.method} ${req.url} ${req.headers.authorization ?? "-"}`);
    if (req.url?.startsWith("/containerLogs/default/p/broken")) return void res.writeHead(400).end("container is waiting to start\n");
    if (req.url?.startsWith("/containerLogs")) {
      res.writeHead(200, { "content-type": "text/plain" });
      res.write("first\n");
      setTimeout(() => res.end("second\n"), 20);
      return;
    }
    if (req.url === "/moved") return void res.writeHead(302, { location: "/there?x=1" }).end();
    if (req.url === "/page") {
      const headers = { "content-type": "text/html; charset=utf-8", "content-encoding": "gzip" };
      return void res.writeHead(200, headers).end(gzipSync('<p>é</p><a href="/next">next</a>'));
    }
    let body = "";
    req.on("data", (chunk: Buffer) => {
      body += chunk.toString("utf8");
    });
    req.on("end", () => res.writeHead(200, { "x-path": req.url }).end(`${req.method} ${body}`));
  });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "v5.channel.k8s.io" });
  kubelet.on("upgrade", (req, socket, head) => {
    seen.push(`${req.method} ${req.url} ${req.headers.authorization ?? "-"}`);
    if (req.headers.upgrade === "SPDY/3.1") {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
      socket.on("data", (data: Buffer) => socket.write(`echo ${data.toString("utf8")}`));
      return;
    }
    sockets.handleUpgrade(req, socket, head, (ws) =>
      ws.on("message", (data: Buffer) => ws.send(Buffer.concat([Buffer.from([1]), data.subarray(1)]))),
    );
  });
  await new Promise<void>((resolve) => kubelet.listen(0, "127.0.0.1", resolve));
  const address = kubelet.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
  const status = { addresses: [{ type: "InternalIP", address: "127.0.0.1" }], daemonEndpoints: { kubeletEndpoint: { Port: port } } };
  await server.call("POST", "/api/v1/nodes", { body: { metadata: { name: "n" }, status } });
  for (const name of ["p", "unbound"]) {
    const containers = [
      { name: "main", image: "x", ports: [{ name: "web", containerPort: port }] },
      { name: "broken", image: "x" },
    ];
    await server.call("POST", "/api/v1/namespaces/default/pods", { body: { metadata: { name }, spec: { containers } } });
  }
  const target = { metadata: { name: "p" }, target: { kind: "Node", name: "n" } };
  await server.call("POST", "/api/v1/namespaces/default/pods/p/binding", { body: target });
  const headers = { "content-type": "application/merge-patch+json" };
  await server.call("PATCH", "/api/v1/namespaces/default/pods/p/status", {
    raw: JSON.stringify({ status: { podIP: "127.0.0.1" } }),
    headers,
  });
});
after(async () => {
  kubelet.closeAllConnections();
  kubelet.close();
  await server.close();
});

const POD = "/api/v1/namespaces/default/pods/p";

test("logs are the kubelet's, with our token and the client's wishes", async () => {
  const answer = await server.call("GET", `${POD}/log?container=main&follow=true&tailLines=3`);
  assert.deepEqual([answer.status, answer.text], [200, "first\nsecond\n"]);
  assert.equal(seen.at(-1), "GET /containerLogs/default/p/main?follow=true&tailLines=3 Bearer kubelet-token");
});

test("what the kubelet refuses, and what cannot be asked of it", async () => {
  const broken = await server.call("GET", `${POD}/log?container=broken`);
  assert.deepEqual([broken.status, broken.at("reason"), broken.at("message")], [400, "BadRequest", "container is waiting to start"]);
  assert.match(
    (await server.call("GET", `${POD}/log`)).text,
    /a container name must be specified for pod p, choose one of: \[main broken\]/,
  );
  assert.match((await server.call("GET", `${POD}/log?container=other`)).text, /container other is not valid for pod p/);
  assert.match(
    (await server.call("GET", "/api/v1/namespaces/default/pods/unbound/log?container=main")).text,
    /does not have a host assigned/,
  );
  assert.equal((await server.call("GET", "/api/v1/namespaces/default/pods/none/log")).status, 404);
  assert.match((await server.call("POST", `${POD}/exec?command=ls`)).text, /Upgrade request required/);
});

test("a WebSocket reaches the kubelet and its answer comes back", async () => {
  const { ca, admin } = server.keys;
  const url = `wss://127.0.0.1:${server.port}${POD}/exec?container=main&command=ls&command=-l&stdin=true&stdout=true`;
  const socket = new WebSocket(url, ["v5.channel.k8s.io", "v4.channel.k8s.io"], { ca, cert: admin.certificate, key: admin.key });
  const received = await new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("open", () => socket.send(Buffer.from("\0hello")));
    socket.once("message", (data: Buffer) => resolve(data.toString("utf8")));
  });
  assert.equal(socket.protocol, "v5.channel.k8s.io");
  assert.equal(received, "\u0001hello");
  socket.terminate();
  assert.match(
    seen.at(-1) ?? "",
    /^GET \/exec\/default\/p\/main\?command=ls&command=-l&stdin=true&stdout=true&input=1&output=1 Bearer kubelet-token$/,
  );
});

test("SPDY passes byte for byte", async () => {
  const { ca, admin } = server.keys;
  const options = {
    host: "127.0.0.1",
    port: server.port,
    path: `${POD}/portforward`,
    method: "POST",
    ca,
    cert: admin.certificate,
    key: admin.key,
    headers: { connection: "Upgrade", upgrade: "SPDY/3.1", "x-stream-protocol-version": "v4.channel.k8s.io" },
  };
  const text = await new Promise((resolve, reject) => {
    const req = request(options);
    req.once("error", reject);
    req.once("upgrade", (_, socket) => {
      socket.once("data", (data: Buffer) => {
        resolve(data.toString("utf8"));
        socket.destroy();
      });
      socket.write("frame");
    });
    req.end();
  });
  assert.equal(text, "echo frame");
  assert.match(seen.at(-1) ?? "", /^POST \/portForward\/default\/p\? Bearer kubelet-token$/);
});

test("a refused upgrade is a Status", async () => {
  const response = await open(server, "GET", "/api/v1/namespaces/default/pods/none/exec?command=ls", {
    headers: { connection: "Upgrade", upgrade: "websocket" },
  });
  assert.equal(response.statusCode, 404);
  response.destroy();
});

test("pods, services and nodes are proxied to", async () => {
  const direct = await server.call("POST", `${POD}:web/proxy/a%2Fb/?q=1`, { raw: "body", headers: { "content-type": "text/plain" } });
  assert.deepEqual([direct.status, direct.text, direct.headers["x-path"]], [200, "POST body", "/a%2Fb/?q=1"]);
  assert.equal(seen.at(-1), "POST /a%2Fb/?q=1 -");
  const service = { metadata: { name: "s" }, spec: { selector: { a: "b" }, ports: [{ name: "http", port: 80, targetPort: port }] } };
  await server.call("POST", "/api/v1/namespaces/default/services", { body: service });
  assert.equal((await server.call("GET", "/api/v1/namespaces/default/services/s/proxy/")).status, 503);
  // Past validation, which refuses loopback addresses.
  const slice = {
    kind: "EndpointSlice",
    apiVersion: "discovery.k8s.io/v1",
    metadata: {
      name: "s-1",
      namespace: "default",
      uid: "1",
      resourceVersion: "",
      creationTimestamp: "",
      labels: { "kubernetes.io/service-name": "s" },
    },
    addressType: "IPv4",
    endpoints: [{ addresses: ["127.0.0.1"] }],
    ports: [{ name: "http", port, protocol: "TCP" }],
  };
  await server.store.put("endpointslices.discovery.k8s.io", "default/s-1", ObjectVersion.of(slice));
  for (const name of ["s", "s:http", "s:80", "http:s:http"]) {
    assert.equal((await server.call("GET", `/api/v1/namespaces/default/services/${name}/proxy/x`)).headers["x-path"], "/x", name);
  }
  assert.equal((await server.call("GET", "/api/v1/nodes/n/proxy/pods")).headers["x-path"], "/pods");
  assert.equal(seen.at(-1), "GET /pods Bearer kubelet-token");
  const slash = await server.call("GET", `${POD}:web/proxy?q=1`);
  assert.deepEqual([slash.status, slash.headers.location], [301, `${POD}:web/proxy/?q=1`]);
  const moved = await server.call("GET", `${POD}:web/proxy/moved`);
  assert.deepEqual([moved.status, moved.headers.location], [302, `${POD}:web/proxy/there?x=1`]);
});

test("what OPTIONS means is for the target to say", async () => {
  for (const path of [`${POD}:web/proxy`, `${POD}:web/proxy/x`]) {
    const answer = await server.call("OPTIONS", path);
    assert.deepEqual([answer.status, answer.text], [200, "OPTIONS "], path);
  }
});

test("the links of a page lead back through the proxy, compressed or not", async () => {
  const answer = await open(server, "GET", `${POD}:web/proxy/page`, {});
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  assert.deepEqual([answer.headers["content-encoding"], answer.headers["content-length"]], ["gzip", undefined]);
  assert.equal(gunzipSync(Buffer.concat(chunks)).toString(), `<p>é</p><a href="${POD}:web/proxy/next">next</a>`);
});
