// Serves in pods' network namespaces, and asks from them: one process for all pods, in the sandbox's mount namespace. Reads lines of JSON
// on its standard input and answers each with one: `{serve: {addresses, tcp, udp}}`, then `{ask: [...]}` as often as wanted.
import { createSocket } from "node:dgram";
import { globSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { formatAddr, parseAddr } from "#ip";
import { listenFd, type NetNs, netns, openRoute, udpFd } from "#linux";
import { probe } from "#observe";
import type { Order, Probe } from "./protocol.ts";

/** Of the files of the namespaces. */
let pattern = "";
/** By each of their addresses. */
const namespaces = new Map<string, NetNs>();

function find(): void {
  for (const path of globSync(pattern)) {
    if (!statSync(path).isFile()) continue;
    const ns = netns.open(path);
    const route = openRoute(ns);
    for (const { prefix } of route.addrs.list()) if (!namespaces.has(formatAddr(prefix.addr))) namespaces.set(formatAddr(prefix.addr), ns);
    route.close();
  }
}

function namespaceOf(addr: string): NetNs {
  const ns = namespaces.get(addr);
  if (ns === undefined) throw new Error(`no network namespace in ${pattern} has the address ${addr}`);
  return ns;
}

function serve(text: string, tcp: readonly number[], udp: readonly number[]): void {
  const addr = parseAddr(text);
  const ns = namespaceOf(text);
  for (const port of tcp) {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.resume();
    });
    server.listen({ fd: listenFd(ns, addr, port) });
  }
  for (const port of udp) {
    const socket = createSocket(addr.family === 4 ? "udp4" : "udp6");
    socket.bind({ fd: udpFd(ns, addr, port) });
    socket.on("error", () => {});
    socket.on("message", (data, from) => socket.send(data, from.port, from.address));
  }
}

/** Whether an answer came: a refusal is none. */
async function ask({ from, to, protocol, port }: Probe, timeoutMs: number): Promise<boolean> {
  const payload = protocol === "udp" ? { payload: new TextEncoder().encode("?") } : {};
  const { outcome } = await probe(namespaceOf(from), {
    from: { kind: "outside" },
    protocol,
    dst: parseAddr(to),
    dstPort: port,
    timeoutMs,
    ...payload,
  });
  return outcome === "answered";
}

/** So many at once: the time of each runs while the others are sent. */
const AT_ONCE = 90;
const TRIES = 6;

async function askAll({ ask: probes = [], controls = [], timeoutMs = 0 }: Order): Promise<boolean[]> {
  const answers: boolean[] = [];
  for (let i = 0; i < probes.length; i += AT_ONCE) answers.push(...(await askSome(probes.slice(i, i + AT_ONCE), controls, timeoutMs)));
  return answers;
}

async function askSome(probes: readonly Probe[], controls: readonly Probe[], timeoutMs: number): Promise<boolean[]> {
  for (let tries = 0; tries < TRIES; tries++) {
    const all = await Promise.all([...probes, ...controls].map((one) => ask(one, timeoutMs * 2 ** tries)));
    if (all.slice(probes.length).every(Boolean)) return all.slice(0, probes.length);
  }
  throw new Error("packets that nothing forbids are not answered");
}

/** Until its standard input ends. */
export async function answerOrders(files: string): Promise<void> {
  pattern = files;
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line) as Order;
    if (order.serve !== undefined) {
      find();
      for (const addr of order.serve.addresses) serve(addr, order.serve.tcp, order.serve.udp);
    }
    process.stdout.write(`${JSON.stringify(await askAll(order))}\n`);
  }
}
