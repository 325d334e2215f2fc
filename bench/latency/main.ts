// What a packet pays for a ClusterIP: the first packet of a flow, short connections and bulk, from one pod to another of the same node,
// beside the same without a Service; with few Services and with many; in nftables mode and in iptables mode.
// usage: npm run bench latency -- [--sizes 1,1000,10000,30000] [--modes nftables,iptables] [--questions N] [--json]
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { formatAddr } from "#ip";
import { startProxy } from "#proxy";
import { Fixture, type Host } from "../../src/node/proxy/fixture.ts";
import { CIDRS, NODE } from "../../src/node/proxy/testing.ts";
import { benchService, benchSlice, podsOf, ToldInformer, vip } from "../services/cluster.ts";
import type { ClientInput, ClientOutput } from "./client.ts";

const { values } = parseArgs({
  options: {
    sizes: { type: "string", default: "1,1000,10000,30000" },
    modes: { type: "string", default: "nftables,iptables" },
    questions: { type: "string", default: "2000" },
    json: { type: "boolean", default: false },
  },
});

if (process.env["FAIRLEAD_BENCH_NETNS"] !== "1") {
  const isRoot = process.getuid?.() === 0;
  const command = [...(isRoot ? [] : ["--user", "--map-root-user"]), "--net", "--", process.execPath, ...process.argv.slice(1)];
  const result = spawnSync("unshare", command, { stdio: "inherit", env: { ...process.env, FAIRLEAD_BENCH_NETNS: "1" } });
  if (result.error !== undefined) throw result.error;
  process.exit(result.status ?? 1);
}

const PORTS = { echo: 8007, request: 8080, sink: 8009 } as const;
const BULK_BYTES = 512 << 20;
const BULK_ROUNDS = 10;

interface Row extends ClientOutput {
  readonly mode: string;
  readonly services: number;
}

const children: ChildProcess[] = [];
const here = (file: string): string => new URL(file, import.meta.url).pathname;

/** A child inside a host's network namespace. */
function start(at: Host, file: string, args: readonly string[]): ChildProcess {
  const child = at.ns.run(() => spawn(process.execPath, [here(file), ...args], { stdio: ["ignore", "pipe", "inherit"] }));
  children.push(child);
  return child;
}

async function serve(at: Host): Promise<void> {
  for (const [role, port] of Object.entries(PORTS)) {
    const server = start(at, "server.ts", [role, formatAddr(at.addrs[0]), String(port)]);
    const ended = once(server, "exit").then(() => {
      throw new Error(`the ${role} server ended`);
    });
    ended.catch(() => {});
    if (server.stdout !== null) await Promise.race([once(server.stdout, "data"), ended]);
  }
}

async function ask(from: Host, input: ClientInput): Promise<ClientOutput> {
  const client = start(from, "client.ts", [JSON.stringify(input)]);
  let text = "";
  client.stdout?.on("data", (data: Buffer) => {
    text += data.toString();
  });
  const [code] = await once(client, "close");
  if (code !== 0) throw new Error(`the client ended with status ${String(code)}`);
  return JSON.parse(text) as ClientOutput;
}

/** `count` Services; the one that is asked stands in the middle, with pod-b as its endpoint. */
function cluster(count: number, backend: string): { services: ToldInformer<Service>; slices: ToldInformer<EndpointSlice> } {
  const services = new ToldInformer<Service>();
  const slices = new ToldInformer<EndpointSlice>();
  const asked = Math.floor(count / 2);
  for (let n = 0; n < count; n++) {
    const service = benchService(n);
    const slice = benchSlice(n, n === asked ? [backend] : podsOf(n, { services: count, endpoints: 2 }));
    const ports = [
      { name: "echo", port: PORTS.echo, protocol: "UDP" as const },
      { name: "request", port: PORTS.request, protocol: "TCP" as const },
      { name: "sink", port: PORTS.sink, protocol: "TCP" as const },
    ];
    if (n === asked) {
      services.set({ ...service, spec: { ...service.spec, ports } });
      slices.set({ ...slice, ports });
    } else {
      services.set(service);
      slices.set(slice);
    }
  }
  return { services, slices };
}

async function measure(mode: "nftables" | "iptables", count: number): Promise<Row> {
  process.stderr.write(`# ${mode}, ${count} services …\n`);
  const fixture = new Fixture();
  try {
    fixture.podA.ns.setSysctl("net.ipv4.ip_local_port_range", "1024 65535");
    const backend = formatAddr(fixture.podB.addrs[0]);
    const proxy = startProxy({
      mode,
      netns: fixture.node.ns,
      client: createFakeClient(),
      node: NODE,
      ...CIDRS,
      logger: { ...silentLogger, error: (message, fields) => console.error(message, fields), child: () => silentLogger },
      informers: cluster(count, backend),
    });
    await proxy.synced;
    await serve(fixture.podB);
    const output = await ask(fixture.podA, {
      targets: [backend, vip(Math.floor(count / 2))],
      ports: PORTS,
      questions: Number(values.questions),
      bulkRounds: BULK_ROUNDS,
      bulkBytes: BULK_BYTES,
    });
    proxy.stop();
    return { mode, services: count, ...output };
  } finally {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    fixture.close();
  }
}

function percentile(all: readonly number[], p: number): number {
  const sorted = [...all].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? Number.NaN;
}

function mean(all: readonly number[]): number {
  return all.reduce((sum, each) => sum + each, 0) / all.length;
}

function print(rows: readonly Row[]): void {
  console.log("each figure: through the ClusterIP, and how many times that is of the same without a Service (asked in turn)\n");
  const head = ["mode", "services", "first packet p50", "p99", "short connections", "bulk"];
  console.log(head.map((cell, i) => (i < 2 ? cell.padEnd(10) : cell.padStart(24))).join(""));
  for (const { mode, services, firstPacketUs, requestUs, gbits } of rows) {
    const [direct = [], viaService = []] = firstPacketUs;
    const us = (p: number): string =>
      `${percentile(viaService, p).toFixed(1)} µs (${(percentile(viaService, p) / percentile(direct, p)).toFixed(2)}x)`;
    const rate = (list: readonly number[] = []): number => 1e6 / mean(list);
    const [directRate, serviceRate] = requestUs.map(rate);
    const bulk = gbits.map((list) => percentile(list, 50));
    const cells = [
      us(50),
      us(99),
      `${(serviceRate ?? 0).toFixed(0)}/s (${((serviceRate ?? 0) / (directRate ?? 1)).toFixed(2)}x)`,
      `${(bulk[1] ?? 0).toFixed(1)} Gbit/s (${((bulk[1] ?? 0) / (bulk[0] ?? 1)).toFixed(2)}x)`,
    ];
    console.log(mode.padEnd(10) + String(services).padEnd(10) + cells.map((cell) => cell.padStart(24)).join(""));
  }
}

const rows: Row[] = [];
for (const mode of values.modes.split(",")) {
  if (mode !== "nftables" && mode !== "iptables") throw new Error(`--modes: "${mode}" is not nftables or iptables`);
  for (const size of values.sizes.split(",")) rows.push(await measure(mode, Number(size)));
}
if (values.json) console.log(JSON.stringify(rows));
else print(rows);
process.exit(0);
