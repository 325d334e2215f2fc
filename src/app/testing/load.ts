// A client under way: asks at a steady pace from the network namespace it runs in, never twice for one answer, and notes what became of
// each request. Prints, as lines of JSON, "ready" when every job has had an answer, "heard WHO" when a job `udp-who` has the first one of
// somebody, and what it counted when its standard input ends. usage: load JOBS
import { randomInt } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { Agent, get } from "node:http";
import type { Job, JobResult } from "./loaded.ts";

/** The patience of a resolver (resolv.conf(5), `timeout`). What is lost is lost, however long one waits. */
const TIMEOUT_MS = 5000;

/** Asks once, and resolves with who answered, or with "" where that cannot be told. */
type Ask = () => Promise<string>;

interface Reply {
  readonly id: number;
  readonly who?: string;
  /** Why it is not the answer that was asked for. */
  readonly problem?: string;
}

interface Dialect {
  readonly encode: (id: number) => Buffer;
  readonly decode: (reply: Buffer) => Reply;
}

const ECHO: Dialect = { encode: (id) => Buffer.from(`echo ${id}`), decode: (reply) => ({ id: Number(reply.toString()) }) };
const WHO: Dialect = { encode: () => Buffer.from("hostname"), decode: (reply) => ({ id: 0, who: reply.toString() }) };
const DNS: Dialect = { encode: dnsQuery, decode: dnsReply };

const OPEN: Readonly<Record<Job["kind"], (job: Job) => Ask>> = {
  "http-kept": (job) => httpAsk(job, new Agent({ keepAlive: true, maxSockets: 1 })),
  "http-new": (job) => httpAsk(job, new Agent({ keepAlive: false })),
  "udp-kept": (job) => keptAsk(job, ECHO),
  "udp-new": (job) => newSocketAsk(job, WHO),
  "udp-who": whoAsk,
  "dns-kept": (job) => keptAsk(job, DNS),
  "dns-new": (job) => newSocketAsk(job, DNS),
};

function now(): number {
  return performance.timeOrigin + performance.now();
}

function within<T>(start: (resolve: (value: T) => void, reject: (err: Error) => void) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no answer")), TIMEOUT_MS);
    start(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (err) => {
        clearTimeout(timer);
        reject(err);
      },
    );
  });
}

function httpAsk({ host, port }: Job, agent: Agent): Ask {
  return () =>
    within((resolve, reject) => {
      const request = get({ host, port, path: "/hostname", agent }, (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("error", reject);
        response.on("end", () => (response.statusCode === 200 ? resolve(text) : reject(new Error(`status ${response.statusCode}`))));
      });
      request.on("error", reject);
    });
}

/** Connected, so that "port unreachable" is heard. */
function connected({ host, port }: Job): Promise<Socket> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve) => socket.connect(port, host, () => resolve(socket)));
}

/** One socket for all requests: to the kernel they are one flow. */
function keptAsk(job: Job, { encode, decode }: Dialect): Ask {
  const waiting = new Map<number, { resolve: (who: string) => void; reject: (err: Error) => void }>();
  const opening = connected(job).then((socket) => {
    socket.on("message", (answer) => {
      const { id, who = "", problem } = decode(answer);
      if (problem === undefined) waiting.get(id)?.resolve(who);
      else waiting.get(id)?.reject(new Error(problem));
      waiting.delete(id);
    });
    socket.on("error", (err) => {
      const [oldest] = waiting.keys();
      if (oldest === undefined) return;
      waiting.get(oldest)?.reject(err);
      waiting.delete(oldest);
    });
    return socket;
  });
  let next = randomInt(1 << 15) + 100;
  return async () => {
    const socket = await opening;
    const id = next++ & 0xffff;
    return within((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      socket.send(encode(id), (err) => err && reject(err));
    });
  };
}

function newSocketAsk(job: Job, { encode, decode }: Dialect): Ask {
  return async () => {
    const socket = await connected(job);
    try {
      return await within((resolve, reject) => {
        socket.on("error", reject);
        socket.on("message", (answer) => {
          const { who = "", problem } = decode(answer);
          if (problem === undefined) resolve(who);
          else reject(new Error(problem));
        });
        socket.send(encode(randomInt(1 << 16)), (err) => err && reject(err));
      });
    } finally {
      socket.close();
    }
  };
}

/** One socket that goes on whatever happens; each answer counts for the newest request, and what is lost does not count. */
function whoAsk({ host, port }: Job): Ask {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  let last: ((who: string) => void) | undefined;
  socket.on("message", (answer) => last?.(answer.toString()));
  socket.on("error", () => {});
  return () =>
    within((resolve) => {
      last = resolve;
      socket.send("hostname", port, host, () => {});
    });
}

const NAME = "kubernetes.default.svc.cluster.local";
const HEADER_BYTES = 12;

/** RFC 1035 §4.1: recursion desired, one question of type A or AAAA, class IN. */
function dnsQuery(id: number): Buffer {
  const labels = NAME.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  return Buffer.concat([Buffer.from([id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

function dnsReply(reply: Buffer): Reply {
  if (reply.length < HEADER_BYTES) return { id: -1 };
  const code = reply.readUInt8(3) & 0xf;
  const isRight = code === 0 && reply.readUInt16BE(6) > 0;
  return { id: reply.readUInt16BE(0), ...(!isRight && { problem: `answered with code ${code}` }) };
}

class Tally {
  readonly job: Job;
  readonly #ask: Ask;
  readonly #pending = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;
  #slowestMs = 0;
  readonly #failures: { at: number; why: string }[] = [];
  readonly #by = new Map<string, { count: number; first: number; last: number }>();

  constructor(job: Job) {
    this.job = job;
    this.#ask = OPEN[job.kind](job);
  }

  /** Resolves with the first answer; what failed until then does not count. */
  async begin(): Promise<void> {
    for (let answered = false; !answered; ) {
      answered = await this.#ask().then(
        () => true,
        () => false,
      );
    }
  }

  start(): void {
    this.#timer = setInterval(() => {
      const one = this.#one().finally(() => this.#pending.delete(one));
      this.#pending.add(one);
    }, 1000 / this.job.perSecond);
  }

  async end(): Promise<JobResult> {
    clearInterval(this.#timer);
    if (this.job.kind !== "udp-who") await Promise.all(this.#pending);
    const by = Object.fromEntries([...this.#by].filter(([who]) => who !== ""));
    return { name: this.job.name, sent: this.#sent, slowestMs: Math.round(this.#slowestMs), failures: this.#failures, by };
  }

  async #one(): Promise<void> {
    const at = now();
    this.#sent++;
    try {
      const who = await this.#ask();
      const then = now();
      this.#slowestMs = Math.max(this.#slowestMs, then - at);
      const known = this.#by.get(who);
      if (known === undefined && this.job.kind === "udp-who") process.stdout.write(`${JSON.stringify(`heard ${who}`)}\n`);
      this.#by.set(who, { count: (known?.count ?? 0) + 1, first: known?.first ?? then, last: then });
    } catch (err) {
      if (this.job.kind === "udp-who") return;
      this.#failures.push({ at, why: (err as NodeJS.ErrnoException).code ?? (err as Error).message });
    }
  }
}

const tallies = (JSON.parse(process.argv[2] ?? "[]") as Job[]).map((job) => new Tally(job));
await Promise.all(tallies.map((tally) => tally.begin()));
for (const tally of tallies) tally.start();
process.stdout.write('"ready"\n');
process.stdin.resume();
await new Promise((resolve) => process.stdin.once("end", resolve));
const results = await Promise.all(tallies.map((tally) => tally.end()));
process.stdout.write(`${JSON.stringify(results)}\n`, () => process.exit(0));
