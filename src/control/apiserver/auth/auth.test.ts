import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeKeys, startTestServer, type TestServer } from "../testing.ts";
import { parseTokenFile } from "./token-file.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer(await makeKeys());
});
after(() => server.close());

const WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts";

test("without credentials there is health and the version, and nothing else", async () => {
  for (const path of ["/healthz", "/livez", "/readyz", "/version"])
    assert.equal((await server.call("GET", path, { as: "nobody" })).status, 200, path);
  for (const path of ["/api", "/apis", "/api/v1/pods", "/openapi/v3", "/", "/metrics"]) {
    const answer = await server.call("GET", path, { as: "nobody" });
    assert.deepEqual([answer.status, answer.at("reason")], [401, "Unauthorized"], path);
  }
  assert.equal((await server.call("GET", "/api", { as: { token: "wrong" } })).status, 401);
});

test("certificates and tokens say who asks", async () => {
  const admin = await server.call("POST", WHO, { body: {} });
  assert.equal(admin.status, 201);
  assert.deepEqual(admin.at("status.userInfo"), { username: "admin", groups: ["system:masters", "others", "system:authenticated"] });
  const token = await server.call("POST", WHO, { body: {}, as: { token: server.keys.token } });
  assert.deepEqual(token.at("status.userInfo"), { username: "token-user", uid: "7", groups: ["testers", "system:authenticated"] });
});

test("a certificate of somebody else's CA is nobody's", async () => {
  const foreign = await makeKeys();
  const answer = await server.call("GET", "/api", { as: "nobody" });
  assert.equal(answer.status, 401);
  const { request } = await import("node:https");
  const status = await new Promise((resolve, reject) => {
    const options = {
      host: "127.0.0.1",
      port: server.port,
      path: "/api",
      ca: server.keys.ca,
      cert: foreign.admin.certificate,
      key: foreign.admin.key,
      agent: false,
    };
    request(options, (res) => resolve(res.resume().statusCode))
      .once("error", reject)
      .end();
  });
  assert.equal(status, 401);
});

test("service account tokens are issued, believed, and end with what they are bound to", async () => {
  await server.call("POST", ACCOUNTS, { body: { metadata: { name: "robot" } } });
  const pod = await server.call("POST", "/api/v1/namespaces/default/pods", {
    body: { metadata: { name: "p" }, spec: { containers: [{ name: "c", image: "x" }] } },
  });
  const uid = pod.at("metadata.uid");
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", name: "p", uid };
  const issued = await server.call("POST", `${ACCOUNTS}/robot/token`, { body: { spec: { expirationSeconds: 600, boundObjectRef } } });
  assert.equal(issued.status, 201, issued.text);
  const token = String(issued.at("status.token"));
  const who = await server.call("POST", WHO, { body: {}, as: { token } });
  assert.equal(who.at("status.userInfo.username"), "system:serviceaccount:default:robot");
  const review = await server.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body: { spec: { token } } });
  assert.equal(review.at("status.authenticated"), true);
  const [head, claims] = token.split(".");
  const other = (await server.call("POST", `${ACCOUNTS}/robot/token`, { body: { spec: {} } })).at("status.token");
  assert.equal((await server.call("GET", "/api", { as: { token: `${head}.${claims}.${String(other).split(".")[2]}` } })).status, 401);
  const foreign = await server.call("POST", `${ACCOUNTS}/robot/token`, { body: { spec: { audiences: ["vault"] } } });
  assert.equal((await server.call("GET", "/api", { as: { token: String(foreign.at("status.token")) } })).status, 401);
  await server.call("DELETE", "/api/v1/namespaces/default/pods/p");
  assert.equal((await server.call("GET", "/api", { as: { token } })).status, 401);
  assert.equal((await server.call("GET", "/api", { as: { token: String(other) } })).status, 200);
  await server.call("DELETE", `${ACCOUNTS}/robot`);
  assert.equal((await server.call("GET", "/api", { as: { token: String(other) } })).status, 401);
});

test("token requests are checked", async () => {
  await server.call("POST", ACCOUNTS, { body: { metadata: { name: "checked" } } });
  const short = await server.call("POST", `${ACCOUNTS}/checked/token`, { body: { spec: { expirationSeconds: 5 } } });
  assert.match(String(short.at("message")), /may not specify a duration less than 10 minutes/);
  assert.equal((await server.call("POST", `${ACCOUNTS}/missing/token`, { body: { spec: {} } })).status, 404);
  const bound = { spec: { boundObjectRef: { kind: "Pod", name: "missing" } } };
  assert.equal((await server.call("POST", `${ACCOUNTS}/checked/token`, { body: bound })).status, 404);
});

test("who is authenticated may do everything, and is told so", async () => {
  const access = await server.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
    body: { spec: { resourceAttributes: { verb: "delete", resource: "nodes" } } },
  });
  assert.equal(access.at("status.allowed"), true);
});

test("token files", () => {
  const users = parseTokenFile('abc,alice,1,"a,b"\n\n# comment\ndef,bob,2\n');
  assert.deepEqual(users.get("abc"), { name: "alice", uid: "1", groups: ["a", "b"] });
  assert.deepEqual(users.get("def"), { name: "bob", uid: "2", groups: [] });
  assert.throws(() => parseTokenFile("abc\n"), /token file, line 1: must be token,user,uid/);
});
