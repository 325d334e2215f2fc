// The contract over HTTP, against the API server itself.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeKeys, startTestServer, type TestServer } from "../../control/apiserver/testing.ts";
import { CLIENT_CONTRACT, runContractCase } from "./contract.ts";
import { createHttpClient, type HttpClient } from "./index.ts";

let server: TestServer;
let client: HttpClient;

before(async () => {
  const keys = await makeKeys();
  server = await startTestServer(keys);
  client = createHttpClient({ server: `https://127.0.0.1:${server.port}`, ca: keys.ca, token: keys.token });
});

after(async () => {
  client.close();
  await server.close();
});

for (const [i, contractCase] of CLIENT_CONTRACT.entries()) {
  test(`contract: ${contractCase.name}`, () => runContractCase(contractCase, client, `contract-${i}`));
}

test("a client certificate is as good as a token", async () => {
  const { ca, admin } = server.keys;
  const other = createHttpClient({ server: `https://127.0.0.1:${server.port}`, ca, cert: admin.certificate, key: admin.key });
  const response = await other.raw({ method: "GET", path: "/version", op: "get the version" });
  assert.equal(response.status, 200);
  other.close();
});
