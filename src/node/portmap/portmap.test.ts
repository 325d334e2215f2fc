import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { FairleadError, InputError, type Logger, silentLogger } from "#base";
import { formatAddr, parseAddr } from "#ip";
import type { ConntrackEntry } from "#linux";
import { FakeKernel, FakeNft } from "#linux/fake";
import { formatTable, type Table, UDP } from "#nft";
import { compile, hostPortsOf, keyOf, portsIn } from "./compile.ts";
import { TABLE } from "./layout.ts";
import { createHostPorts } from "./reconcile.ts";
import type { HostPorts, HostPortsOptions, PodPorts, PortMapping } from "./types.ts";

function podPorts(
  name: string,
  mappings: readonly Partial<PortMapping>[],
  addrs: readonly string[] = ["10.244.1.2", "fd00:10:244:1::2"],
): PodPorts {
  return {
    containerId: `${name}-0123456789abcdef`,
    pod: `default/${name}`,
    addrs: addrs.map((addr) => parseAddr(addr)),
    mappings: mappings.map((mapping) => ({ protocol: "TCP", containerPort: 8080, hostPort: 80, ...mapping })),
  };
}

/** `TCP 0.0.0.0:80 → 10.244.1.2:8080`. */
function lines(pod: PodPorts): string[] {
  return hostPortsOf(pod).map((port) => `${keyOf(port)} → ${formatAddr(port.to)} ${port.toPort}`);
}

const MAPPINGS: readonly [string, Partial<PortMapping>[], string[]][] = [
  ["any address", [{}], ["TCP 0.0.0.0:80 → 10.244.1.2 8080", "TCP [::]:80 → fd00:10:244:1::2 8080"]],
  ["an empty hostIP", [{ hostIp: "" }], ["TCP 0.0.0.0:80 → 10.244.1.2 8080", "TCP [::]:80 → fd00:10:244:1::2 8080"]],
  ["any IPv4 address", [{ hostIp: "0.0.0.0" }], ["TCP 0.0.0.0:80 → 10.244.1.2 8080"]],
  ["any IPv6 address", [{ hostIp: "::" }], ["TCP [::]:80 → fd00:10:244:1::2 8080"]],
  ["one address", [{ hostIp: "127.0.0.1", protocol: "SCTP" }], ["SCTP 127.0.0.1:80 → 10.244.1.2 8080"]],
  ["one IPv6 address", [{ hostIp: "fd00:18::0:11", protocol: "UDP" }], ["UDP [fd00:18::11]:80 → fd00:10:244:1::2 8080"]],
  ["none", [{ hostPort: 0 }], []],
  ["the same twice", [{ hostIp: "0.0.0.0" }, { hostIp: "0.0.0.0", containerPort: 1 }], ["TCP 0.0.0.0:80 → 10.244.1.2 8080"]],
];

for (const [name, mappings, expected] of MAPPINGS)
  test(`hostIP: ${name}`, () => assert.deepEqual(lines(podPorts("web", mappings)), expected));

test("a pod of one family", () => {
  assert.deepEqual(lines(podPorts("web", [{}, { hostIp: "::1" }], ["10.244.1.2"])), ["TCP 0.0.0.0:80 → 10.244.1.2 8080"]);
});

const PODS: readonly PodPorts[] = [
  podPorts("web", [{}, { protocol: "UDP", hostPort: 5353, containerPort: 53, hostIp: "127.0.0.1" }]),
  podPorts(
    "dns",
    [
      { protocol: "UDP", hostPort: 53, containerPort: 53, hostIp: "fd00:18::11" },
      { protocol: "SCTP", hostPort: 132 },
    ],
    ["10.244.1.3", "fd00:10:244:1::3"],
  ),
];

test("the table reads as it did", () => {
  const { table } = compile(PODS);
  assert.ok(table);
  assert.equal(formatTable(table), readFileSync(new URL("host-ports.nft", import.meta.url), "utf8"));
  assert.deepEqual(portsIn(table), compile(PODS).ports);
});

test("of two pods the newer one has the port, and who has lost it is told", () => {
  const [old, young] = [podPorts("old", [{}]), podPorts("new", [{ hostIp: "0.0.0.0" }], ["10.244.1.9"])];
  const { ports, conflicts } = compile([old, young]);
  assert.deepEqual(
    [...ports].map(([key, { to }]) => [key, formatAddr(to)]),
    [
      ["TCP 0.0.0.0:80", "10.244.1.9"],
      ["TCP [::]:80", "fd00:10:244:1::2"],
    ],
  );
  assert.deepEqual(conflicts, [{ key: "TCP 0.0.0.0:80", winner: young, loser: old }]);
  assert.equal(compile([]).table, undefined);
});

interface Bench {
  readonly nft: FakeNft;
  readonly kernel: FakeKernel;
  readonly options: HostPortsOptions;
  readonly log: readonly string[];
  readonly start: (pods?: readonly PodPorts[]) => HostPorts;
  readonly table: () => string;
}

function bench(): Bench {
  const [kernel, nft] = [new FakeKernel(), new FakeNft()];
  const ns = kernel.netns.createAnonymous();
  const route = kernel.openRoute(ns);
  route.links.add({ name: "cni0", type: { kind: "bridge" } });
  route.links.add({ name: "eth0", type: { kind: "dummy" } });
  route.addrs.set({ link: "eth0", prefix: { addr: parseAddr("172.18.0.11"), bits: 16 } });
  const log: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (message) => log.push(`warn ${message}`),
    error: (message) => log.push(`error ${message}`),
  };
  const options = { ns, route, nft, conntrack: kernel.openConntrack(ns), podLink: "cni0", logger };
  return {
    nft,
    kernel,
    options,
    log,
    start: (pods = []) => {
      const hostPorts = createHostPorts(options);
      hostPorts.open(pods);
      return hostPorts;
    },
    table: () => text(nft.list(TABLE)),
  };
}

/** Without the order of elements, which the kernel does not keep either. */
function text(table: Table | undefined): string {
  return table === undefined
    ? ""
    : formatTable(table).replace(/elements = \{([^}]*)\}/g, (_, list: string) =>
        list
          .split(",")
          .map((one) => one.trim())
          .sort()
          .join("\n"),
      );
}

test("a pod is one transaction with its elements and no more; again it is none", () => {
  const { nft, start, table } = bench();
  const ports = start();
  assert.equal(nft.transactions.length, 0);
  for (const pod of PODS) ports.add(pod);
  const [, second = []] = nft.transactions;
  assert.deepEqual(
    second.map(({ op }) => op),
    ["add elements", "add elements", "add elements", "add elements", "add elements"],
  );
  for (const pod of PODS) ports.add(pod);
  assert.equal(nft.transactions.length, 2);
  assert.equal(table(), text(compile(PODS).table));
  assert.deepEqual([ports.metrics.pods, ports.metrics.host_ports], [2, 6]);
  const [web] = PODS;
  ports.del(web?.containerId ?? "");
  ports.del(web?.containerId ?? "");
  ports.del("never seen");
  assert.equal(nft.transactions.length, 3);
  assert.equal(table(), text(compile(PODS.slice(1)).table));
});

test("a refused add leaves what there was, and can be done again", () => {
  const { nft, start, table } = bench();
  const ports = start(PODS.slice(0, 1));
  const before = table();
  // The first is taken for a table that somebody changed.
  for (let i = 0; i < 2; i++) nft.failNext("ENOMEM");
  const [, dns] = PODS;
  assert.ok(dns);
  assert.throws(
    () => ports.add(dns),
    (err) => err instanceof FairleadError && err.code === "ENOMEM" && /Cannot open the host ports of pod default\/dns/.test(err.message),
  );
  assert.equal(table(), before);
  ports.add(dns);
  assert.equal(table(), text(compile(PODS).table));
});

test("a refused delete is done by the next one", () => {
  const { nft, start, table } = bench();
  const ports = start(PODS);
  for (let i = 0; i < 2; i++) nft.failNext("ENOMEM");
  const id = PODS[0]?.containerId ?? "";
  assert.throws(() => ports.del(id), FairleadError);
  ports.del(id);
  assert.equal(table(), text(compile(PODS.slice(1)).table));
});

test("taking over is tried again until it is done", async () => {
  const { nft, start, table } = bench();
  nft.failNext("ENOMEM");
  const ports = start(PODS);
  assert.equal(table(), "");
  while (table() === "") await new Promise((resolve) => setImmediate(resolve));
  assert.equal(table(), text(compile(PODS).table));
  ports.stop();
});

test("a hostIP that is no address is refused with its text; one of another family is told", () => {
  const { nft, start, log } = bench();
  const ports = start([podPorts("bad", [{ hostIp: "localhost" }])]);
  assert.throws(
    () => ports.add(podPorts("bad", [{ hostIp: "localhost" }])),
    (err) => err instanceof InputError && err.message === 'hostIP: "localhost" is not an IP address',
  );
  ports.add(podPorts("six", [{ hostIp: "fd00::1" }], ["10.244.1.2"]));
  assert.equal(nft.transactions.length, 0);
  assert.deepEqual(log, ["error cannot open the host ports of a pod", "warn no address of the pod is of the family of its hostIP"]);
});

test("another version's table becomes this one's, in one transaction", () => {
  const { nft, start, table } = bench();
  nft.apply([
    { op: "add table", table: TABLE, comment: "Host ports of pods, by Fairlead" },
    { op: "add chain", table: TABLE, chain: "old" },
    { op: "add chain", table: TABLE, chain: "nat-prerouting", base: { type: "nat", hook: "prerouting", priority: -50, policy: "accept" } },
    {
      op: "add rule",
      table: TABLE,
      chain: "nat-prerouting",
      rule: { statements: [{ kind: "verdict", verdict: { kind: "jump", chain: "old" } }] },
    },
  ]);
  start(PODS).stop();
  assert.equal(nft.transactions.length, 2);
  assert.equal(table(), text(compile(PODS).table));
});

/** `answeredBy` is the address and port that the answers come from, before they are translated back. */
function flow(dst: string, port: number, [answerer, answeringPort]: readonly [string, number], protocol: number = UDP): ConntrackEntry {
  const client = parseAddr("172.18.0.1");
  return {
    original: { src: client, dst: parseAddr(dst), protocol, srcPort: 4000, dstPort: port },
    reply: { src: parseAddr(answerer), dst: client, protocol, srcPort: answeringPort, dstPort: 4000 },
    id: 0,
    mark: 0,
    zone: 0,
    timeoutSeconds: 30,
    status: 0,
  };
}

const POD = "10.244.1.2";
const NODE = "172.18.0.11";

/** What is left of a flow to port 53 when a pod gets it, and when the pod goes again. */
const FLOWS: readonly [string, ConntrackEntry, added: boolean, deleted: boolean][] = [
  ["refused before", flow(NODE, 53, [NODE, 53]), false, false],
  ["at 127.0.0.2", flow("127.0.0.2", 53, ["127.0.0.2", 53]), false, false],
  ["with the pod", flow(NODE, 53, [POD, 53]), true, false],
  ["with a Service's backend", flow(NODE, 53, ["10.244.2.9", 53]), true, true],
  ["to the same port elsewhere", flow("8.8.8.8", 53, ["8.8.8.8", 53]), true, true],
  ["to a Service of the pod", flow("10.96.0.10", 53, [POD, 53]), true, true],
  ["to another port", flow(NODE, 54, [NODE, 54]), true, true],
  ["over TCP", flow(NODE, 53, [NODE, 53], 6), true, true],
];

for (const [name, entry, added, deleted] of FLOWS) {
  test(`a flow ${name}`, () => {
    const { kernel, options, start } = bench();
    const left = (): boolean => options.conntrack.list(4).length === 1;
    const ports = start();
    kernel.setConntrack(options.ns, [entry]);
    const pod = podPorts("dns", [
      { protocol: "UDP", hostPort: 53, containerPort: 53 },
      { hostPort: 53, containerPort: 53 },
    ]);
    ports.add(pod);
    assert.equal(left(), added, "when the pod comes");
    ports.del(pod.containerId);
    assert.equal(left(), deleted, "when it has gone");
  });
}

/** Lets the failures happen that no transaction has met yet. */
function drain(nft: FakeNft): void {
  const table = { family: "inet", name: "other" } as const;
  for (;;) {
    try {
      nft.apply([{ op: "add table", table }]);
      return;
    } catch {}
  }
}

test("whatever came and went in whatever order: the kernel has what a fresh start would write", () => {
  const hostIp = fc.constantFrom("", "0.0.0.0", "::", "127.0.0.1", "fd00:18::11");
  const mapping = fc.record({
    hostIp,
    hostPort: fc.integer({ min: 1, max: 3 }),
    protocol: fc.constantFrom("TCP" as const, "UDP" as const),
  });
  const step = fc.record({
    pod: fc.integer({ min: 1, max: 5 }),
    mappings: fc.array(mapping, { maxLength: 4 }),
    restart: fc.boolean(),
    fails: fc.nat(8),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const { nft, start, table } = bench();
      const present = new Map<string, PodPorts>();
      let ports = start();
      for (const { pod: n, mappings, restart, fails } of steps) {
        const pod = podPorts(`p${n}`, mappings, [`10.244.1.${n}`, `fd00:10:244:1::${n}`]);
        if (fails === 0) nft.failNext("ENOMEM");
        try {
          if (present.delete(pod.containerId)) ports.del(pod.containerId);
          else {
            ports.add(pod);
            present.set(pod.containerId, pod);
          }
        } catch (err) {
          assert.ok(err instanceof FairleadError);
        }
        if (!restart) continue;
        ports.stop();
        ports = start([...present.values()]);
      }
      drain(nft);
      // What failed before is done with the next call.
      ports.del("never seen");
      ports.stop();
      assert.equal(table(), text(compile(present.values()).table));
    }),
    { numRuns: 200 },
  );
});
