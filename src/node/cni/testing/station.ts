// For tests: a process in a network namespace that answers whoever asks it over UDP and TCP, and asks others.
import { type ChildProcess, spawn } from "node:child_process";
import type { NetNs } from "#linux";

interface Question {
  readonly protocol: "udp" | "tcp";
  readonly host: string;
  readonly port: number;
  /** How much the answerer sends back; 1 unless told. */
  readonly bytes?: number;
  /** 3000 unless told. */
  readonly timeoutMs?: number;
}

interface Answer {
  /** The asker's address as the answerer saw it. */
  readonly seenAs: string;
  /** The answerer's address as the asker saw it. */
  readonly from: string;
  readonly bytes: number;
  readonly ms: number;
}

export interface Station {
  ask(question: Question): Promise<Answer>;
  stop(): void;
}

/** UDP and TCP on this port of all addresses of both families. */
export const PORT = 7777;

const PROGRAM = `
const dgram = require("node:dgram"), net = require("node:net");
const plain = (a) => a.replace(/^::ffff:/, "");
const answer = (seenAs, bytes) => JSON.stringify({ seenAs: plain(seenAs) }) + "\\n" + "x".repeat(bytes);
function serve() {
  return Promise.all([
    ...["udp4", "udp6"].map((type) => new Promise((done) => {
      const s = dgram.createSocket({ type, ipv6Only: type === "udp6" });
      s.on("message", (m, r) => s.send(answer(r.address, Number(m)), r.port, r.address));
      s.bind(${PORT}, done);
    })),
    new Promise((done) => net.createServer((c) => {
      c.on("error", () => {});
      c.on("data", (m) => c.end(answer(c.remoteAddress, Number(m))));
    }).listen(${PORT}, "::", done)),
  ]);
}
function parse(buffer) {
  const at = buffer.indexOf(10);
  return { ...JSON.parse(buffer.subarray(0, at).toString()), bytes: buffer.length - at - 1 };
}
function ask({ protocol, host, port, bytes = 1, timeoutMs = 3000 }) {
  const start = performance.now();
  const ms = () => performance.now() - start;
  return new Promise((done, fail) => {
    if (protocol === "udp") {
      const s = dgram.createSocket(net.isIPv6(host) ? "udp6" : "udp4");
      const timer = setTimeout(() => { s.close(); fail(new Error("no answer from " + host + " over UDP")); }, timeoutMs);
      s.on("error", fail);
      s.on("message", (m, r) => { clearTimeout(timer); s.close(); done({ ...parse(m), from: plain(r.address), ms: ms() }); });
      s.send(String(bytes), port, host);
      return;
    }
    const c = net.connect({ host, port });
    const chunks = [];
    c.setTimeout(timeoutMs, () => c.destroy(new Error("no answer from " + host + " over TCP")));
    c.on("error", fail);
    c.on("connect", () => c.write(String(bytes)));
    c.on("data", (m) => chunks.push(m));
    const from = () => plain(c.remoteAddress ?? host);
    c.on("end", () => done({ ...parse(Buffer.concat(chunks)), from: from(), ms: ms() }));
  });
}
process.on("message", ({ id, question }) =>
  ask(question).then((answer) => process.send({ id, answer }), (error) => process.send({ id, error: error.message })));
process.on("disconnect", () => process.exit());
serve().then(() => process.send({ id: 0 }));
`;

interface Reply {
  readonly id: number;
  readonly answer?: Answer;
  readonly error?: string;
}

/** Resolves when it answers. */
export function startStation(ns: NetNs): Promise<Station> {
  const children: ChildProcess[] = [];
  ns.run(() => {
    children.push(spawn(process.execPath, ["-e", PROGRAM], { stdio: ["ignore", "inherit", "inherit", "ipc"] }));
  });
  const [child] = children;
  if (child === undefined) throw new Error("no process");
  const waiting = new Map<number, (reply: Reply) => void>();
  let serial = 0;
  child.on("message", (reply: Reply) => waiting.get(reply.id)?.(reply));
  const station: Station = {
    ask(question) {
      const id = ++serial;
      return new Promise((resolve, reject) => {
        waiting.set(id, ({ answer, error }) => {
          waiting.delete(id);
          if (answer === undefined) reject(new Error(error));
          else resolve(answer);
        });
        child.send({ id, question });
      });
    },
    stop: () => child.kill("SIGKILL"),
  };
  return new Promise((resolve, reject) => {
    waiting.set(0, () => resolve(station));
    child.on("exit", (code) => reject(new Error(`the station ended with code ${code}`)));
    child.on("error", reject);
  });
}
