import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";
import { inClusterConfig, loadKubeconfig } from "./config.ts";
import { createHttpClient } from "./http.ts";

function directory(t: TestContext): string {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-config-`);
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

function kubeconfig(user: object, cluster: object = { server: "https://10.0.0.1:6443" }): string {
  return JSON.stringify({
    "current-context": "here",
    contexts: [{ name: "here", context: { cluster: "c", user: "u", namespace: "shop" } }],
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user }],
  });
}

test("credentials: inline, or in files that are named relative to the kubeconfig", (t) => {
  const dir = directory(t);
  for (const file of ["ca.crt", "me.crt", "me.key", "token"]) writeFileSync(`${dir}/${file}`, `${file} \n`);
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const inline = loadKubeconfig(kubeconfig({ "client-certificate-data": base64("C"), "client-key-data": base64("K"), token: "T" }));
  assert.deepEqual([inline.cert, inline.key, inline.token, inline.tokenFile, inline.namespace], ["C", "K", "T", undefined, "shop"]);
  const user = { "client-certificate": "me.crt", "client-key": "me.key", tokenFile: "token" };
  const files = loadKubeconfig(kubeconfig(user, { server: "https://10.0.0.1:6443", "certificate-authority": "ca.crt" }), dir);
  assert.deepEqual([files.ca, files.cert, files.key], ["ca.crt \n", "me.crt \n", "me.key \n"]);
  assert.deepEqual([files.token, files.tokenFile], ["token", `${dir}/token`]);
});

test("what is wrong is named", () => {
  const cases: [() => unknown, string, RegExp][] = [
    [() => loadKubeconfig(kubeconfig({ exec: { command: "aws" } })), "BadInput", /^user\.exec: is a program that makes credentials/],
    [() => loadKubeconfig(kubeconfig({}, {})), "BadInput", /^cluster\.server: is missing$/],
    [() => loadKubeconfig(kubeconfig({ tokenFile: "/nonexistent" })), "UnreadableFile", /Cannot read the tokenFile from \/nonexistent/],
    [() => loadKubeconfig("a: b"), "BadInput", /^kubeconfig: is not JSON/],
    [() => inClusterConfig({}), "NotInCluster", /KUBERNETES_SERVICE_HOST/],
  ];
  for (const [load, code, message] of cases) assert.throws(load, { code, message });
});

test("a token from a file is read again after a minute, and kept while it cannot be read", async (t) => {
  const dir = directory(t);
  const tokenFile = `${dir}/token`;
  writeFileSync(tokenFile, "first\n");
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.end("{}");
  }).listen(`${dir}/socket`);
  await once(server, "listening");
  t.mock.timers.enable({ apis: ["Date"] });
  const config = loadKubeconfig(kubeconfig({ tokenFile }, { server: "http://api" }));
  const client = createHttpClient({ ...config, socketPath: `${dir}/socket` });
  t.after(() => {
    client.close();
    server.close();
  });
  const ask = async (afterMs: number): Promise<void> => {
    t.mock.timers.tick(afterMs);
    await client.raw({ method: "GET", path: "/", op: "ask" });
  };
  writeFileSync(tokenFile, "second\n");
  await ask(59_000);
  await ask(1000);
  rmSync(tokenFile);
  await ask(60_000);
  assert.deepEqual(seen, ["Bearer first", "Bearer second", "Bearer second"]);
});
