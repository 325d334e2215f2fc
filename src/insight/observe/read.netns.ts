// What a report says, against what the kernel was told and what files of /proc say.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { parseAddr, parsePrefix } from "#ip";
import { listenFd, type NetNs, netns, openNft, openRoute, udpFd } from "#linux";
import { equals, meta, UDP } from "#nft";
import { mergeReports } from "./merge.ts";
import { type OpenNamespace, readReport } from "./read.ts";
import type { NodeReport } from "./types.ts";

const node = netns.createAnonymous();
const pod = netns.createAnonymous();
const closing: { close(): void }[] = [node, pod];
after(() => {
  for (const one of closing.toReversed()) one.close();
});

const POD = { namespace: "default", name: "web", uid: "u", sandboxId: "s" };
const NAMESPACES: readonly OpenNamespace[] = [
  { role: "node", name: "node-1", ns: node },
  { role: "pod", name: "default/web", ns: pod, pod: POD },
];
const TABLE = { family: "inet", name: "fairlead-policy" } as const;

before(() => {
  const [route, inPod, nft] = [openRoute(node), openRoute(pod), openNft(node)];
  closing.push(route, inPod, nft);
  route.links.change("lo", { up: true });
  route.links.add({ name: "cni0", type: { kind: "bridge" }, up: true });
  route.links.add({ name: "veth1", type: { kind: "veth", peer: { name: "eth0", netns: pod } }, master: "cni0", up: true });
  route.links.change("veth1", { bridgePort: { isolated: true } });
  route.links.add({ name: "vx", type: { kind: "vxlan", vni: 1, port: 8472, device: "cni0", learning: false }, up: true });
  inPod.links.change("eth0", { up: true });
  route.addrs.set({ link: "cni0", prefix: parsePrefix("10.1.0.1/24") });
  inPod.addrs.set({ link: "eth0", prefix: parsePrefix("10.1.0.2/32") });
  node.setSysctl("net/ipv4/conf/veth1/route_localnet", 1);
  node.setSysctl("net/ipv4/conf/veth1/proxy_arp_pvlan", 1);
  node.setSysctl("net/ipv4/conf/vx/rp_filter", 2);
  node.setSysctl("net/ipv4/conf/cni0/accept_local", 1);
  nft.apply([
    { op: "add table", table: TABLE },
    { op: "add chain", table: TABLE, chain: "c", base: { type: "filter", hook: "forward", priority: 0, policy: "accept" } },
    { op: "add rule", table: TABLE, chain: "c", rule: { statements: [equals(meta("l4proto"), UDP)], comment: "default/web" } },
  ]);
});

function read(): Promise<NodeReport> {
  return readReport({ node: "node-1", namespaces: NAMESPACES }, { conntrackEntries: true });
}

test("links, addresses, settings and tables; veths know their other end", async () => {
  const report = await read();
  assert.deepEqual([report.node, report.problems], ["node-1", []]);
  assert.match(report.machine, /^[0-9a-f-]{36}$/);
  const [one, two] = report.namespaces;
  assert.ok(one !== undefined && two !== undefined);
  assert.deepEqual([one.inode, two.inode, two.pod], [node.inode, pod.inode, POD]);
  const veth = one.state.links.find(({ name }) => name === "veth1");
  assert.deepEqual([veth?.master, veth?.port?.isolated, veth?.type], ["cni0", true, { kind: "other", name: "veth" }]);
  assert.deepEqual(one.state.links.find(({ name }) => name === "vx")?.type, {
    kind: "vxlan",
    vni: 1,
    port: 8472,
    device: "cni0",
    learning: false,
  });
  assert.deepEqual(
    one.ends.map(({ link, peerInode }) => [link, peerInode]),
    [["veth1", pod.inode]],
  );
  assert.deepEqual(
    two.ends.map(({ link, peerInode }) => [link, peerInode]),
    [["eth0", node.inode]],
  );
  assert.deepEqual(
    one.state.tables?.map(({ name, chains }) => [name, chains[0]?.rules[0]?.comment]),
    [[TABLE.name, "default/web"]],
  );
  for (const [path, value] of Object.entries(one.state.sysctls ?? {})) {
    if (path.startsWith("net/ipv4/")) assert.equal(value, Number(node.sysctl(path)), path);
  }
  assert.equal(one.state.sysctls?.["net/ipv4/conf/veth1/route_localnet"], 1);
  assert.equal(one.conntrack.max, one.state.sysctls?.["net/netfilter/nf_conntrack_max"]);
  const merged = mergeReports([report]).namespaces.map(({ links }) => links.find(({ name }) => name === "veth1" || name === "eth0")?.type);
  assert.deepEqual(merged, [
    { kind: "veth", peer: { namespace: "default/web", link: "eth0" } },
    { kind: "veth", peer: { namespace: "node-1", link: "veth1" } },
  ]);
});

test("sockets that wait, and whose they are", async () => {
  const server = createServer().listen({ fd: listenFd(node, parseAddr("10.1.0.1"), 8080) });
  const udp = createSocket("udp4");
  udp.bind({ fd: udpFd(node, parseAddr("0.0.0.0"), 5300) });
  closing.push({ close: () => void server.close() }, { close: () => void udp.close() });
  const program = `require("node:net").createServer().listen(9090, "127.0.0.1", () => console.log("listening"))`;
  const child = inside(node, ["-e", program]);
  await hasSpoken(child);
  const [one] = (await read()).namespaces;
  const listeners = one?.state.listeners ?? [];
  assert.deepEqual(
    listeners.map(({ protocol, port, addr, family }) => [protocol, port, addr, family]),
    [
      [6, 8080, parseAddr("10.1.0.1"), undefined],
      [6, 9090, parseAddr("127.0.0.1"), undefined],
      [17, 5300, undefined, 4],
    ],
    "the port of vxlan is the kernel's",
  );
  // The other two are held by a process of another namespace: this one.
  assert.deepEqual(
    one?.sockets.map(({ pid }) => pid),
    [undefined, child.pid, undefined],
  );
  assert.match(listeners[1]?.name ?? "", new RegExp(`\\(pid ${child.pid}\\)$`));
  assert.ok((one?.sockets[1]?.command?.length ?? 0) <= 200);
  child.kill("SIGKILL");
  await once(child, "exit");
});

function inside(ns: NetNs, args: readonly string[]): ReturnType<typeof spawnPiped> {
  const child = ns.run(() => spawnPiped(args));
  closing.push({ close: () => void child.kill("SIGKILL") });
  return child;
}

async function hasSpoken(child: ReturnType<typeof spawnPiped>): Promise<void> {
  await Promise.race([once(child.stdout, "data"), once(child, "exit").then(() => assert.fail("the program ended"))]);
}

function spawnPiped(args: readonly string[]) {
  return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
}

test("when a process that watches is killed, its tables go; reports leave them out while they are there", async () => {
  const program = `
    import { netns } from ${JSON.stringify(import.meta.resolve("../../io/linux/index.ts"))};
    import { watch } from ${JSON.stringify(import.meta.resolve("./watch.ts"))};
    const match = { protocol: "tcp", addrs: [], ports: [80] };
    const namespaces = [{ role: "node", name: "node-1", ns: netns.current() }];
    setInterval(() => {}, 1000);
    for await (const one of watch({ node: "node-1", namespaces }, { match, seconds: 60 }, new AbortController().signal)) console.log(one.kind);
  `;
  const child = inside(node, ["--input-type=module", "-e", program]);
  await hasSpoken(child);
  const names = (): string[] => {
    const nft = openNft(node);
    const tables = nft.tables().map(({ name }) => name);
    nft.close();
    return tables;
  };
  assert.deepEqual(
    names().map((name) => name.replace(/[0-9]+/, "PID")),
    [TABLE.name, "fairlead-trace-PID-1"],
  );
  assert.deepEqual(
    (await read()).namespaces[0]?.state.tables?.map(({ name }) => name),
    [TABLE.name],
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.deepEqual(names(), [TABLE.name]);
});

test("a namespace that has gone is a problem, and the others are told", async () => {
  const gone = netns.createAnonymous();
  gone.close();
  const report = await readReport({ node: "n", namespaces: [{ role: "pod", name: "default/gone", ns: gone }, ...NAMESPACES] });
  assert.equal(report.namespaces.length, 2);
  assert.match(report.problems.join(), /default\/gone: Cannot enter network namespace .* \(EBADF\)/);
});
