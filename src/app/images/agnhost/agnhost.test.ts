import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { COMMANDS, helpText } from "./commands.ts";
import { FlagError, parseDuration, parseFlags } from "./flags.ts";
import { contentTypeOf, httpGet, serveRoutes } from "./http.ts";
import { answerUdp, netexecRoutes } from "./netexec.ts";
import { formatPeer, hostName, splitHostPort } from "./output.ts";
import { selfSigned } from "./self-signed.ts";

test("flags are read as pflag reads them", () => {
  const defaults = { port: 80, tcp: false, http: true, host: "" };
  assert.deepEqual(parseFlags(["--port", "8080", "--tcp", "--http=false", "--host=a=b", "x", "--", "--y"], defaults), {
    values: { port: 8080, tcp: true, http: false, host: "a=b" },
    args: ["x", "--y"],
  });
  assert.deepEqual(parseFlags(["-p", "1"], defaults, { p: "port" }).values.port, 1);
  for (const [argv, message] of [
    [["--nope"], "unknown flag: --nope"],
    [["--port"], "flag needs an argument: --port"],
    [["--port=a"], 'invalid argument "a" for "--port" flag: not a whole number'],
    [["--tcp=maybe"], 'invalid argument "maybe" for "--tcp" flag: not true or false'],
  ] as const) {
    assert.throws(() => parseFlags(argv, defaults), new FlagError(message));
  }
});

test("durations are Go's", () => {
  const table: readonly [string, number | undefined][] = [
    ["0", 0],
    ["1s", 1000],
    ["1m30s", 90_000],
    ["500ms", 500],
    ["1.5s", 1500],
    ["1", undefined],
    ["", undefined],
    ["1s2", undefined],
  ];
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text);
});

test("host and port are split and joined as Go does it", () => {
  assert.deepEqual(splitHostPort("10.0.0.1:80"), { host: "10.0.0.1", port: 80 });
  assert.deepEqual(splitHostPort("[fd00::1]:80"), { host: "fd00::1", port: 80 });
  assert.deepEqual(splitHostPort("fd00::1"), { error: "address fd00::1: too many colons in address" });
  assert.deepEqual(splitHostPort("host"), { error: "address host: missing port in address" });
  assert.equal(formatPeer("::ffff:10.0.0.1", 80), "10.0.0.1:80");
  assert.equal(formatPeer("fd00::1", 80), "[fd00::1]:80");
});

test("the UDP server answers hostname, clientip and echo, and nothing else", () => {
  const table: readonly [string, string | undefined][] = [
    ["hostname\n", hostName()],
    ["hostName", hostName()],
    ["clientip", "10.0.0.1:5"],
    ["echo Hello there", "hello there"],
    ["", undefined],
    ["what", undefined],
  ];
  for (const [message, answer] of table) assert.equal(answerUdp(Buffer.from(message), "10.0.0.1:5"), answer, message);
});

test("netexec's endpoints", async () => {
  const state = { ready: true, ending: false, shutdown: () => {} };
  const server = serveRoutes(netexecRoutes(state));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const get = async (path: string): Promise<[number, string]> => {
      const res = await fetch(`http://127.0.0.1:${port}${path}`, { redirect: "manual" });
      return [res.status, await res.text()];
    };
    assert.deepEqual(await get("/hostname"), [200, hostName()]);
    assert.deepEqual(await get("/hostName"), [200, hostName()]);
    assert.deepEqual(await get("/healthz"), [200, ""]);
    assert.deepEqual(await get("/readyz"), [200, "ok"]);
    state.ending = true;
    assert.deepEqual(await get("/readyz"), [503, "shutting down"]);
    assert.deepEqual(await get("/healthz"), [200, ""]);
    assert.deepEqual(await get("/echo?msg=hi%20there&code=202"), [202, "hi there"]);
    assert.deepEqual(await get("/serverport"), [200, String(port)]);
    assert.match((await get("/clientip"))[1], /^127\.0\.0\.1:\d+$/);
    assert.match((await get("/"))[1], /^NOW: \d{4}-/);
    assert.deepEqual(await get(`/dial?host=127.0.0.1&port=${port}&request=echo?msg=a&tries=2`), [200, '{"responses":["a","a"]}']);
    assert.deepEqual(await get(`/dial?host=127.0.0.1&port=${port}&request=redirect?location=/hostname`), [
      200,
      JSON.stringify({ responses: [hostName()] }),
    ]);
    assert.deepEqual(await get("/dial?host=127.0.0.1&port=80"), [400, "request parameter not specified.\n"]);
    assert.deepEqual(await get("/dial?host=x&port=80&request=a&protocol=gopher"), [400, "unsupported protocol. gopher\n"]);
    assert.deepEqual(await get("/shell?cmd=echo%20out;echo%20err%20>%262;exit%203"), [
      200,
      '{"output":"out\\nerr\\n","error":"exit status 3"}',
    ]);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test("a text that looks like a page is one", () => {
  for (const [text, type] of [
    ["foo", "text/plain"],
    ["<3", "text/plain"],
    ["<abbr>", "text/plain"],
    ['<a href="/x">x</a>', "text/html"],
    [" \n<!DOCTYPE html>", "text/html"],
  ] as const) {
    assert.equal(contentTypeOf(text), `${type}; charset=utf-8`, text);
  }
});

test("the certificate that nobody brought is one for localhost", async () => {
  const { cert, key } = await selfSigned();
  const certificate = new X509Certificate(cert);
  assert.ok(certificate.checkPrivateKey(createPrivateKey(key)));
  assert.equal(certificate.checkHost("localhost"), "localhost");
});

test("a refused connection is reported in Go's words", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(httpGet("127.0.0.1", port, "x"), {
    message: `Get "http://127.0.0.1:${port}/x": dial tcp 127.0.0.1:${port}: connect: connection refused`,
  });
});

test("the help names every command", () => {
  for (const command of COMMANDS) assert.match(helpText(), new RegExp(`^  ${command.name} `, "m"));
});
