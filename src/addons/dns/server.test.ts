// The server as clients see it: real sockets on the loopback, an API server in memory, upstreams of our own.
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { get } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { parseAddr } from "#ip";
import { ENDPOINT_SLICES, SERVICES } from "#kube";
import { type DnsMessage, type DnsRecord, decodeDns, dnsMessage, encodeDns } from "#wire";
import { type DnsServer, type DnsServerOptions, startDnsServer } from "./index.ts";
import { CLUSTER, queryBytes, replyText, service, slice } from "./testing/cluster.ts";

const WEB = "web.shop.svc.cluster.local";
const hasIpv6 = Object.values(networkInterfaces()).some((addrs) => addrs?.some((addr) => addr.address === "::1"));

async function start(t: TestContext, options: Partial<DnsServerOptions> = {}): Promise<DnsServer> {
  const server = await startDnsServer({
    client: createFakeClient(CLUSTER),
    logger: silentLogger,
    port: 0,
    addresses: ["127.0.0.1", ...(hasIpv6 ? ["::1"] : [])],
    ...options,
  });
  t.after(() => server.close());
  if (options.client === undefined) await server.synced;
  return server;
}

function askUdp(port: number, query: Buffer, host = "127.0.0.1"): Promise<Buffer> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  return new Promise<Buffer>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("message", resolve);
    socket.send(query, port, host);
  }).finally(() => socket.close());
}

/** Sends queries over one connection, half-closes it, and gives all replies. */
function askTcp(port: number, queries: readonly Buffer[], host = "127.0.0.1"): Promise<Buffer[]> {
  const framed = Buffer.concat(queries.flatMap((query) => [Buffer.from([query.length >> 8, query.length & 0xff]), query]));
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host });
    const chunks: Buffer[] = [];
    socket.on("error", reject);
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => {
      let rest = Buffer.concat(chunks);
      const replies: Buffer[] = [];
      while (rest.length > 2) {
        const end = 2 + rest.readUInt16BE(0);
        replies.push(rest.subarray(2, end));
        rest = rest.subarray(end);
      }
      resolve(replies);
    });
    // In two pieces, cut inside a length.
    socket.write(framed.subarray(0, 1));
    socket.end(framed.subarray(1));
  });
}

type Upstream = { readonly port: number; readonly seen: DnsMessage[]; readonly clientPorts: Set<number> };

/** A name server that says what `reply` makes of a query; undefined: it is silent. TCP replies come from `tcpReply`. */
async function upstream(
  t: TestContext,
  reply: (query: DnsMessage) => Partial<DnsMessage> | undefined,
  tcpReply = reply,
): Promise<Upstream> {
  const seen: DnsMessage[] = [];
  const clientPorts = new Set<number>();
  const answerTo = (bytes: Buffer, from: typeof reply): Buffer | undefined => {
    const query = decodeDns(bytes);
    seen.push(query);
    const parts = from(query);
    if (parts === undefined) return undefined;
    const { id, questions } = query;
    return Buffer.from(encodeDns(dnsMessage({ id, questions, response: true, recursionAvailable: true, ...parts })));
  };
  const tcp = createServer((connection) => {
    connection.on("error", () => {});
    connection.on("data", (chunk: Buffer) => {
      const bytes = answerTo(chunk.subarray(2), tcpReply);
      if (bytes !== undefined) connection.write(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]));
    });
  });
  await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket("udp4");
  udp.on("message", (bytes, from) => {
    clientPorts.add(from.port);
    const sent = answerTo(bytes, reply);
    if (sent !== undefined) udp.send(sent, from.port, from.address);
  });
  await new Promise<void>((resolve) => udp.bind(port, "127.0.0.1", resolve));
  t.after(() => {
    tcp.close();
    udp.close();
  });
  return { port, seen, clientPorts };
}

const a = (name: string, ip: string, ttlSeconds = 60): DnsRecord => ({ name, ttlSeconds, type: "A", address: parseAddr(ip) });
const to = (peer: Upstream): Partial<DnsServerOptions> => ({ upstreams: [{ host: "127.0.0.1", port: peer.port }] });
const first = (m: DnsMessage): string => m.questions[0]?.name ?? "";

test("UDP and TCP, IPv4 and IPv6", async (t) => {
  const { port } = await start(t);
  assert.deepEqual(replyText(await askUdp(port, queryBytes("A", WEB))), ["NOERROR aa", "A 10.96.0.20"]);
  const replies = await askTcp(port, [queryBytes("AAAA", WEB), queryBytes("A", "nope.cluster.local")]);
  assert.deepEqual(
    replies.map((reply) => replyText(reply).slice(0, 2)),
    [
      ["NOERROR aa", "AAAA fd00:10:96::20"],
      ["NXDOMAIN aa", "~cluster.local SOA ns.dns.cluster.local hostmaster.cluster.local 7200 1800 86400 5"],
    ],
  );
  if (!hasIpv6) return t.diagnostic("no IPv6 on the loopback: not asked over IPv6");
  assert.deepEqual(replyText(await askUdp(port, queryBytes("A", WEB), "::1")), ["NOERROR aa", "A 10.96.0.20"]);
  assert.equal((await askTcp(port, [queryBytes("A", WEB)], "::1")).length, 1);
});

test("follows the API server", async (t) => {
  const client = createFakeClient(CLUSTER);
  const server = await start(t, { client });
  await server.synced;
  const ask = async (type: "A" | "CNAME", name: string): Promise<string[]> => replyText(await askUdp(server.port, queryBytes(type, name)));
  const until = async (type: "A" | "CNAME", name: string, expected: string): Promise<void> => {
    for (let i = 0; i < 500; i++) {
      if ((await ask(type, name)).includes(expected)) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.fail(`${name} never answered ${expected}: ${(await ask(type, name)).join("; ")}`);
  };
  await client.create(SERVICES, { ...service("shop/new", ["None"]), metadata: { namespace: "shop", name: "new" } });
  const added = slice("shop/new-1", "new", ["10.244.3.9=n-0"]);
  const { labels = {} } = added.metadata;
  await client.create(ENDPOINT_SLICES, { ...added, metadata: { namespace: "shop", name: "new-1", labels } });
  await until("A", "n-0.new.shop.svc.cluster.local", "A 10.244.3.9");
  const ext = await client.get(SERVICES, { namespace: "shop", name: "ext" });
  await client.update(SERVICES, { ...ext, spec: { type: "ClusterIP", clusterIP: "10.96.0.77", clusterIPs: ["10.96.0.77"] } });
  await until("A", "ext.shop.svc.cluster.local", "A 10.96.0.77");
  await client.delete(SERVICES, { namespace: "shop", name: "new" });
  await until("A", "new.shop.svc.cluster.local", "NXDOMAIN aa");
});

test("forwards other names, each query with an id of its own, and keeps the answers", async (t) => {
  const peer = await upstream(t, (query) => ({ answers: [a(first(query), "198.51.100.7")], rcode: 0 }));
  const { port } = await start(t, to(peer));
  assert.deepEqual(replyText(await askUdp(port, queryBytes("A", "www.Example.com"))), ["NOERROR ra", "60 A 198.51.100.7"]);
  const again = await askUdp(port, queryBytes("A", "WWW.example.com", { id: 99 }));
  assert.deepEqual([decodeDns(again).id, decodeDns(again).questions[0]?.name], [99, "WWW.example.com"]);
  assert.equal(replyText(again)[0], "NOERROR ra");
  assert.equal(peer.seen.length, 1);
  const ids = new Set<number>();
  await Promise.all(Array.from({ length: 20 }, (_, i) => askUdp(port, queryBytes("A", `n${i}.example.com`, { id: 7 }))));
  for (const query of peer.seen) ids.add(query.id);
  assert.ok(ids.size > 15, "ids are random");
  // With other wishes it is another question.
  const edns = { udpSize: 4096, version: 0, dnssecOk: true, options: [{ code: 10, data: Buffer.from("cookie!!") }] };
  await askUdp(port, queryBytes("A", "www.example.com", { edns }));
  assert.deepEqual(peer.seen.at(-1)?.edns, { udpSize: 1232, version: 0, dnssecOk: true, options: [] });
  assert.equal((await askTcp(port, [queryBytes("A", "www.example.com")])).length, 1);
});

test("the same question asked many times at once goes upstream once", async (t) => {
  const peer = await upstream(t, (query) => ({ answers: [a(first(query), "198.51.100.7", 0)] }));
  const { port } = await start(t, to(peer));
  await Promise.all(Array.from({ length: 10 }, (_, i) => askUdp(port, queryBytes("A", "www.example.com", { id: i }))));
  assert.ok(peer.seen.length < 10, `${peer.seen.length} of 10 went upstream`);
  const before = peer.seen.length;
  await askUdp(port, queryBytes("A", "www.example.com"));
  assert.equal(peer.seen.length, before + 1, "a TTL of 0 is not kept");
});

test("an upstream's rcode is passed on, and its TC, so that the client comes back over TCP", async (t) => {
  const many = (query: DnsMessage): Partial<DnsMessage> => ({
    answers: Array.from({ length: 60 }, (_, i) => a(first(query), `198.51.100.${i}`)),
  });
  const peer = await upstream(
    t,
    (query) => (first(query).startsWith("no") ? { rcode: 3 } : first(query).startsWith("bad") ? { rcode: 5 } : { truncated: true }),
    many,
  );
  const { port } = await start(t, to(peer));
  assert.deepEqual(replyText(await askUdp(port, queryBytes("A", "no.example.com"))), ["NXDOMAIN ra"]);
  assert.deepEqual(replyText(await askUdp(port, queryBytes("A", "bad.example.com"))), ["REFUSED ra"]);
  assert.deepEqual(replyText(await askUdp(port, queryBytes("A", "big.example.com"))), ["NOERROR tc ra"]);
  const [whole] = await askTcp(port, [queryBytes("A", "big.example.com")]);
  assert.equal(replyText(whole ?? Buffer.alloc(0)).length, 61);
  // What TCP brought is kept, but does not fit.
  assert.deepEqual(replyText(await askUdp(port, queryBytes("A", "big.example.com"))), ["NOERROR tc ra"]);
});

test("ExternalName: the alias first, then what the upstream says of its target", async (t) => {
  const target = "www.example.com";
  let mode: "ok" | "none" | "big" = "ok";
  const peer = await upstream(t, (query) => {
    if (mode === "none") return { rcode: 3 };
    return {
      truncated: mode === "big",
      answers: [{ name: first(query), ttlSeconds: 60, type: "CNAME", target: "edge.example.net" }, a("edge.example.net", "198.51.100.7")],
    };
  });
  const { port } = await start(t, { ...to(peer), cacheSeconds: 0 });
  const ext = "ext.shop.svc.cluster.local";
  const ask = async (type: "A" | "CNAME" | "TXT"): Promise<string[]> => replyText(await askUdp(port, queryBytes(type, ext)));
  const found = [`CNAME ${target}`, `${target} 60 CNAME edge.example.net`, "edge.example.net 60 A 198.51.100.7"];
  assert.deepEqual(await ask("A"), ["NOERROR aa ra", ...found]);
  mode = "big";
  assert.deepEqual(await ask("A"), ["NOERROR aa tc ra", ...found]);
  mode = "none";
  assert.deepEqual(await ask("A"), ["NXDOMAIN aa ra", `CNAME ${target}`]);
  const asked = peer.seen.length;
  assert.deepEqual(await ask("CNAME"), ["NOERROR aa ra", `CNAME ${target}`]);
  assert.equal(peer.seen.length, asked);
});

test("reverse names that are not ours are asked upstream", async (t) => {
  const peer = await upstream(t, (query) => ({ answers: [{ name: first(query), ttlSeconds: 60, type: "PTR", target: "host.example" }] }));
  const { port } = await start(t, to(peer));
  assert.deepEqual(replyText(await askUdp(port, queryBytes("PTR", "7.100.51.198.in-addr.arpa"))), ["NOERROR ra", "60 PTR host.example"]);
  assert.deepEqual(replyText(await askUdp(port, queryBytes("PTR", "20.0.96.10.in-addr.arpa"))), ["NOERROR aa ra", `PTR ${WEB}`]);
  assert.equal(peer.seen.length, 1);
});

test("an upstream where nobody listens fails over, or fails at once", async (t) => {
  const peer = await upstream(t, (query) => ({ answers: [a(first(query), "198.51.100.7")] }));
  const gone = await freePort();
  const both = await start(t, {
    upstreams: [
      { host: "127.0.0.1", port: gone },
      { host: "127.0.0.1", port: peer.port },
    ],
  });
  for (let i = 0; i < 4; i++) assert.equal(replyText(await askUdp(both.port, queryBytes("A", `a${i}.example.com`)))[0], "NOERROR ra");
  const none = await start(t, { upstreams: [{ host: "127.0.0.1", port: gone }] });
  assert.equal(replyText(await askUdp(none.port, queryBytes("A", "www.example.com")))[0], "SERVFAIL ra");
  // A UDP socket may not be connected to the broadcast address: the error comes before anything is sent.
  const broadcast = await start(t, { upstreams: [{ host: "255.255.255.255", port: 53 }] });
  for (let i = 0; i < 2; i++) assert.equal(replyText(await askUdp(broadcast.port, queryBytes("A", "www.example.com")))[0], "SERVFAIL ra");
  const [overTcp] = await askTcp(none.port, [queryBytes("A", "www.example.com")]);
  assert.equal(replyText(overTcp ?? Buffer.alloc(0))[0], "SERVFAIL ra");
});

test("an upstream's answer to another question is not taken", async (t) => {
  let forged = true;
  const peer = await upstream(t, (query) => {
    const question = { name: "evil.example.com", type: 1, class: 1 };
    if (forged) return { questions: [question], answers: [a("evil.example.com", "203.0.113.66")] };
    return { answers: [a(first(query), "198.51.100.7")] };
  });
  const { port } = await start(t, { ...to(peer), upstreamTimeoutMs: 100 });
  const pending = askUdp(port, queryBytes("A", "www.example.com"));
  while (peer.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  forged = false;
  // The forged one is dropped; the right one comes with the second attempt, after the first has timed out.
  assert.deepEqual(replyText(await pending), ["NOERROR ra", "60 A 198.51.100.7"]);
});

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

function page(port: number | undefined, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get({ port: port ?? 0, path, host: "127.0.0.1", agent: false }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    }).on("error", reject);
  });
}

test("before the cluster is known: alive, not ready, SERVFAIL", async (t) => {
  const client = createFakeClient(CLUSTER);
  const endless: typeof client.watch = async function* (_resource, options) {
    await new Promise<void>((resolve) => options?.signal?.addEventListener("abort", () => resolve(), { once: true }));
    yield* [];
  };
  const silent = { ...client, watch: endless };
  const { port, statusPorts } = await start(t, { client: silent, statusPorts: { health: 0, ready: 0 } });
  assert.deepEqual(await page(statusPorts.health, "/health"), { status: 200, body: "OK" });
  assert.equal((await page(statusPorts.ready, "/ready")).status, 503);
  assert.deepEqual(replyText(await askUdp(port, queryBytes("A", WEB))), ["SERVFAIL"]);
});

test("one that leaves is not ready, and answers to the end", async (t) => {
  const server = await start(t, { statusPorts: { health: 0, ready: 0 } });
  server.leave();
  assert.equal((await page(server.statusPorts.ready, "/ready")).status, 503);
  assert.equal((await page(server.statusPorts.health, "/health")).status, 200);
  assert.match(replyText(await askUdp(server.port, queryBytes("A", WEB))).join("\n"), /NOERROR/);
});

test("status pages and metrics under CoreDNS's names", async (t) => {
  const { port, statusPorts } = await start(t, { statusPorts: { health: 0, ready: 0, metrics: 0 } });
  assert.deepEqual(await page(statusPorts.ready, "/ready"), { status: 200, body: "OK" });
  assert.equal((await page(statusPorts.health, "/nope")).status, 404);
  await askUdp(port, queryBytes("A", WEB));
  await askTcp(port, [queryBytes("AAAA", WEB), queryBytes(65280, "nope.cluster.local")]);
  const { body } = await page(statusPorts.metrics, "/metrics");
  for (const line of [
    'coredns_dns_requests_total{server="dns://:0",zone=".",view="",proto="udp",family="1",type="A"} 1',
    'coredns_dns_requests_total{server="dns://:0",zone=".",view="",proto="tcp",family="1",type="other"} 1',
    'coredns_dns_responses_total{server="dns://:0",zone=".",view="",rcode="NOERROR",plugin="kubernetes"} 2',
    'coredns_dns_responses_total{server="dns://:0",zone=".",view="",rcode="NXDOMAIN",plugin="kubernetes"} 1',
    'coredns_dns_request_duration_seconds_count{server="dns://:0",zone=".",view=""} 3',
    'coredns_cache_entries{server="dns://:0",type="success",zones=".",view=""} 0',
    "coredns_panics_total 0",
  ]) {
    assert.ok(body.includes(`${line}\n`), line);
  }
  for (const line of body.split("\n")) assert.match(line, /^$|^# (HELP|TYPE) coredns_\w+ |^coredns_\w+(\{\S+\})? [\d.e+-]+$/, line);
});

test("a port that is taken is an error that says what to do", async (t) => {
  const taken: Socket = createSocket("udp4");
  await new Promise<void>((resolve) => taken.bind(0, "127.0.0.1", resolve));
  t.after(() => taken.close());
  const { port } = taken.address();
  await assert.rejects(
    start(t, { port, addresses: ["127.0.0.1"] }),
    /Cannot listen for DNS on 127\.0\.0\.1 port \d+: .*another DNS server runs there/,
  );
});

test("an address family that is not there is left out", async (t) => {
  const server = await start(t, { addresses: ["127.0.0.1", "2001:db8::dead"] });
  assert.equal((await askTcp(server.port, [queryBytes("A", WEB)])).length, 1);
});
