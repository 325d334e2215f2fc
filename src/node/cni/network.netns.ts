import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base";
import { formatAddr, formatMac, formatPrefix, parseAddr, parsePrefix } from "#ip";
import { type Ipam, openIpam } from "#ipam";
import { type NetNs, netns, openRoute, type RouteSocket } from "#linux";
import { hostLinkName } from "./compile.ts";
import { type Attachment, BRIDGE, createPodNetwork, type PodNetwork } from "./index.ts";
import { PORT, type Station, startStation } from "./testing/station.ts";

const DUAL = ["10.244.1.0/24", "fd00:10:244:1::/64"];

const uplink = { mtu: 1450 };

interface TestNode {
  readonly ns: NetNs;
  readonly route: RouteSocket;
  readonly dir: string;
  readonly ipam: Ipam;
  readonly network: PodNetwork;
}

function cleanUp(t: TestContext, fn: () => void): void {
  t.after(fn);
}

function startNode(t: TestContext, podCidrs: string[] = DUAL, before?: Pick<TestNode, "ns" | "route" | "dir">): TestNode {
  const dir = before?.dir ?? mkdtempSync(`${tmpdir()}/fairlead-cni-`);
  const ns = before?.ns ?? netns.createAnonymous();
  const route = before?.route ?? openRoute(ns);
  const ipam = openIpam({ dir, podCidrs: podCidrs.map((text) => parsePrefix(text)), logger: silentLogger });
  const options = { node: { ns, route }, openRoute, ipam, mtu: () => uplink.mtu, logger: silentLogger };
  const network = createPodNetwork(options);
  cleanUp(t, () => {
    network.stop();
    if (before !== undefined) return;
    route.close();
    ns.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { ns, route, dir, ipam, network };
}

interface TestPod extends Attachment {
  readonly ns: NetNs;
  readonly addrs: string[];
}

function startPod(t: TestContext, node: TestNode, containerId: string): TestPod {
  const ns = netns.createAnonymous();
  cleanUp(t, () => ns.close());
  const attachment = { containerId, ifName: "eth0", netns: ns };
  const result = node.network.add(attachment);
  return { ...attachment, ns, addrs: result.ips.map(({ address }) => address.slice(0, address.indexOf("/"))) };
}

async function station(t: TestContext, ns: NetNs): Promise<Station> {
  const one = await startStation(ns);
  cleanUp(t, () => one.stop());
  return one;
}

function nft(ns: NetNs, text: string): string {
  const result = ns.run(() => spawnSync("nft", ["-f", "-"], { input: text, encoding: "utf8" }));
  assert.equal(result.status, 0, result.stderr);
  return ns.run(() => spawnSync("nft", ["list", "ruleset"], { encoding: "utf8" })).stdout;
}

function setIfThere(ns: NetNs, name: string, value: number): void {
  if (existsSync(`/proc/sys/${name}`)) ns.setSysctl(name, value);
}

const noNft: string | false = spawnSync("nft", ["--version"]).status === 0 ? false : "there is no nft";

test("an add gives what the result says, and a second one the same", (t) => {
  const node = startNode(t);
  const ns = netns.createAnonymous();
  cleanUp(t, () => ns.close());
  const attachment = { containerId: "c1", ifName: "eth0", netns: ns };
  const result = node.network.add(attachment);
  assert.deepEqual(result, {
    cniVersion: "1.1.0",
    interfaces: [
      { name: "cni0", mac: "02:00:0a:f4:01:01", mtu: 1450 },
      { name: hostLinkName(attachment), mtu: 1450 },
      { name: "eth0", mac: "02:00:0a:f4:01:02", mtu: 1450, sandbox: ns.path },
    ],
    ips: [
      { address: "10.244.1.2/32", gateway: "10.244.1.1", interface: 2 },
      { address: "fd00:10:244:1::2/128", gateway: "fd00:10:244:1::1", interface: 2 },
    ],
    routes: [
      { dst: "0.0.0.0/0", gw: "10.244.1.1" },
      { dst: "::/0", gw: "fd00:10:244:1::1" },
    ],
    dns: {},
  });
  const inside = openRoute(ns);
  cleanUp(t, () => inside.close());
  const before = {
    links: inside.links.list().map(({ stats, ...link }) => ({ ...link, stats: stats === undefined })),
    routes: inside.routes.list(),
  };
  const eth0 = inside.links.get("eth0");
  assert.equal(eth0 && formatMac(eth0.mac ?? new Uint8Array()), "02:00:0a:f4:01:02");
  assert.equal(eth0?.mtu, 1450);
  assert.equal(inside.links.get("lo")?.up, true);
  node.network.check(attachment);
  assert.deepEqual(node.network.add(attachment), result);
  assert.deepEqual(
    { links: inside.links.list().map(({ stats, ...link }) => ({ ...link, stats: stats === undefined })), routes: inside.routes.list() },
    before,
  );
  const host = node.route.links.get(hostLinkName(attachment));
  assert.deepEqual([host?.bridgePort?.isolated, host?.bridgePort?.learning], [true, false]);
});

test("pods of one node talk over both families, and the node routes between them", { skip: noNft }, async (t) => {
  const node = startNode(t);
  const [a, b] = [startPod(t, node, "a"), startPod(t, node, "b")];
  nft(node.ns, "table inet t { chain f { type filter hook forward priority 0; meta nfproto ipv4 counter; meta nfproto ipv6 counter; }; }");
  const [asker] = await Promise.all([station(t, a.ns), station(t, b.ns)]);
  for (const protocol of ["udp", "tcp"] as const) {
    for (const [i, host] of b.addrs.entries()) {
      const answer = await asker.ask({ protocol, host, port: PORT, bytes: 1000 });
      assert.deepEqual([answer.seenAs, answer.from, answer.bytes], [a.addrs[i], host, 1000]);
    }
  }
  const counters = nft(node.ns, "").match(/packets (\d+)/g) ?? [];
  assert.equal(counters.length, 2);
  for (const counter of counters) assert.ok(Number(counter.slice(8)) >= 4, `the forward hook has seen ${counter}`);
  // Nobody had to ask who has an address: all that the pods know of their neighbours we have written.
  const inside = openRoute(a.ns);
  cleanUp(t, () => inside.close());
  assert.deepEqual(
    inside.neighs
      .list("eth0")
      .filter((neigh) => neigh.state !== "noarp")
      .map((neigh) => `${formatAddr(neigh.addr)} ${neigh.state}`)
      .sort(),
    ["10.244.1.1 permanent", "fd00:10:244:1::1 permanent"],
  );
});

test("the node itself and its pods talk both ways", async (t) => {
  const node = startNode(t);
  const pod = startPod(t, node, "a");
  const [inNode, inPod] = await Promise.all([station(t, node.ns), station(t, pod.ns)]);
  for (const protocol of ["udp", "tcp"] as const) {
    for (const [i, host] of pod.addrs.entries()) {
      const gateway = ["10.244.1.1", "fd00:10:244:1::1"][i] ?? "";
      assert.equal((await inNode.ask({ protocol, host, port: PORT })).seenAs, gateway);
      assert.equal((await inPod.ask({ protocol, host: gateway, port: PORT })).seenAs, host);
    }
  }
});

for (const bridgeNetfilter of [0, 1]) {
  const title = `with bridge-nf-call-iptables=${bridgeNetfilter}`;
  test(`a pod reaches itself and its neighbour through an address that the node translates, ${title}`, { skip: noNft }, async (t) => {
    const node = startNode(t);
    const [a, b] = [startPod(t, node, "a"), startPod(t, node, "b")];
    for (const table of ["iptables", "ip6tables"]) setIfThere(node.ns, `net/bridge/bridge-nf-call-${table}`, bridgeNetfilter);
    const [[a4, a6], [b4, b6]] = [a.addrs, b.addrs];
    nft(
      node.ns,
      `table ip t {
         chain pre { type nat hook prerouting priority -100; ip daddr 10.96.0.9 dnat to ${a4}; ip daddr 10.96.0.10 dnat to ${b4}; }
         chain post { type nat hook postrouting priority 100; ip saddr ${a4} ip daddr ${a4} masquerade; }
       }
       table ip6 t {
         chain pre { type nat hook prerouting priority -100; ip6 daddr fd00:10:96::9 dnat to ${a6}; ip6 daddr fd00:10:96::a dnat to ${b6}; }
         chain post { type nat hook postrouting priority 100; ip6 saddr ${a6} ip6 daddr ${a6} masquerade; }
       }`,
    );
    // The node must know a way to where the Service addresses would be; a real one has a default route.
    node.route.routes.set({ dst: parsePrefix("10.96.0.0/16"), nextHops: [{ link: BRIDGE }] });
    node.route.routes.set({ dst: parsePrefix("fd00:10:96::/112"), nextHops: [{ link: BRIDGE }] });
    const [asker] = await Promise.all([station(t, a.ns), station(t, b.ns)]);
    for (const protocol of ["udp", "tcp"] as const) {
      for (const host of ["10.96.0.9", "10.96.0.10", "fd00:10:96::9", "fd00:10:96::a"]) {
        const answer = await asker.ask({ protocol, host, port: PORT, bytes: 1000 });
        assert.deepEqual([answer.from, answer.bytes], [host, 1000]);
      }
    }
  });
}

test("br_netfilter is switched off where ours is the only bridge, and left alone beside others", (t) => {
  const name = "net/bridge/bridge-nf-call-iptables";
  const alone = startNode(t);
  if (!existsSync(`/proc/sys/${name}`)) return t.skip("this kernel has no br_netfilter");
  assert.equal(alone.ns.sysctl(name), "0");
  const ns = netns.createAnonymous();
  cleanUp(t, () => ns.close());
  const route = openRoute(ns);
  cleanUp(t, () => route.close());
  route.links.add({ name: "docker0", type: { kind: "bridge" } });
  ns.setSysctl(name, 1);
  const dir = mkdtempSync(`${tmpdir()}/fairlead-cni-`);
  cleanUp(t, () => rmSync(dir, { recursive: true, force: true }));
  startNode(t, DUAL, { ns, route, dir });
  assert.equal(ns.sysctl(name), "1");
});

test("no pod reaches another one past the node: not by its MAC, not by broadcast, and no redirect tells it to", {
  skip: noNft,
}, async (t) => {
  const node = startNode(t);
  const [a, b] = [startPod(t, node, "a"), startPod(t, node, "b")];
  nft(node.ns, "table inet t { chain f { type filter hook forward priority 0; policy drop; }; }");
  const inside = openRoute(a.ns);
  cleanUp(t, () => inside.close());
  const [four = "", six = ""] = b.addrs;
  // The pod's owner may do anything in its own namespace.
  const mac = node.route.neighs.list(BRIDGE).find((neigh) => formatAddr(neigh.addr) === four)?.mac;
  assert.ok(mac !== undefined);
  for (const host of [four, six]) {
    const addr = parseAddr(host);
    inside.routes.set({ dst: { addr, bits: addr.family === 4 ? 32 : 128 }, nextHops: [{ link: "eth0" }] });
    inside.neighs.set({ link: "eth0", addr, mac });
  }
  const [asker] = await Promise.all([station(t, a.ns), station(t, b.ns)]);
  nft(b.ns, `table inet t { chain i { type filter hook input priority 0; udp dport ${PORT} counter; }; }`);
  const arrived = (): string => /packets \d+/.exec(nft(b.ns, ""))?.[0] ?? "";
  await Promise.all(
    [four, six].map((host) => assert.rejects(asker.ask({ protocol: "udp", host, port: PORT, timeoutMs: 300 }), /no answer/)),
  );
  assert.equal(arrived(), "packets 0");
  node.ns.run(() => spawnSync("nft", ["flush", "ruleset"]));
  for (const host of [four, six]) {
    const addr = parseAddr(host);
    inside.routes.del({ dst: { addr, bits: addr.family === 4 ? 32 : 128 }, nextHops: [{ link: "eth0" }] });
    inside.neighs.del({ link: "eth0", addr });
  }
  for (let i = 0; i < 3; i++) for (const host of [four, six]) await asker.ask({ protocol: "udp", host, port: PORT });
  for (const dst of [four, six]) assert.equal(inside.routes.lookup(parseAddr(dst))?.nextHops[0]?.via?.bytes.at(-1), 1);
});

test("an add that broke off anywhere is completed by the next one", (t) => {
  const node = startNode(t);
  const pod = startPod(t, node, "a");
  const inside = openRoute(pod.ns);
  cleanUp(t, () => inside.close());
  const hostLink = hostLinkName(pod);
  const breaks: (() => void)[] = [
    () => inside.links.del("eth0"),
    () => inside.links.change("eth0", { up: false }),
    () => node.route.links.change(hostLink, { master: null }),
    () => node.route.links.change(hostLink, { up: false }),
    () => inside.neighs.del({ link: "eth0", addr: parseAddr("fd00:10:244:1::1") }),
    () => node.route.neighs.del({ link: BRIDGE, addr: parseAddr("10.244.1.2") }),
    () => inside.addrs.del({ link: "eth0", prefix: parsePrefix("10.244.1.2/32") }),
    () => node.route.links.del(hostLink),
  ];
  for (const spoil of breaks) {
    spoil();
    assert.throws(() => node.network.check(pod), { code: "PodLinkBroken" });
    node.network.add(pod);
    node.network.check(pod);
  }
  assert.deepEqual(node.ipam.get(pod).map(formatAddr), pod.addrs);
});

test("a del is content with whatever is gone, and the address is free for others afterwards", (t) => {
  const node = startNode(t, ["10.244.1.0/30"]);
  const pod = startPod(t, node, "a");
  pod.ns.close();
  node.network.del(pod);
  node.network.del(pod);
  node.network.del({ containerId: "never", ifName: "eth0" });
  assert.equal(node.route.links.get(hostLinkName(pod)), undefined);
  assert.deepEqual(
    node.route.neighs.list(BRIDGE).filter((neigh) => neigh.state === "permanent"),
    [],
  );
  assert.deepEqual(startPod(t, node, "b").addrs, ["10.244.1.2"]);
});

test("a failed add holds nothing", (t) => {
  const node = startNode(t);
  const closed = netns.createAnonymous();
  closed.close();
  assert.throws(() => node.network.add({ containerId: "a", ifName: "eth0", netns: closed }), {
    code: "EBADF",
    message: /^Cannot connect container a \(.*\) to the pod network: /,
  });
  assert.deepEqual(node.ipam.list(), []);
  const pod = startPod(t, node, "b");
  const foreign = netns.createAnonymous();
  cleanUp(t, () => foreign.close());
  const inside = openRoute(foreign);
  cleanUp(t, () => inside.close());
  inside.links.add({ name: "eth0", type: { kind: "veth", peer: { name: "other" } } });
  assert.throws(() => node.network.add({ containerId: "c", ifName: "eth0", netns: foreign }), { code: "InterfaceExists" });
  assert.equal(node.route.links.get(hostLinkName({ containerId: "c", ifName: "eth0" })), undefined);
  assert.equal(node.ipam.list().length, 2);
  node.network.check(pod);
});

test("the bridge, removed or shut by somebody, comes back with all its pods", async (t) => {
  const node = startNode(t);
  const [a, b] = [startPod(t, node, "a"), startPod(t, node, "b")];
  const [asker] = await Promise.all([station(t, a.ns), station(t, b.ns)]);
  const spoils: (() => void)[] = [
    () => node.route.links.del(BRIDGE),
    () => node.route.links.change(BRIDGE, { up: false }),
    () => node.route.addrs.del({ link: BRIDGE, prefix: parsePrefix("10.244.1.1/24") }),
  ];
  for (const spoil of spoils) {
    const back = Promise.withResolvers<void>();
    const watch = node.route.watch(() => {
      const addrs = node.route.links.get(BRIDGE)?.up === true ? node.route.addrs.list(BRIDGE) : [];
      if (addrs.length === 2) back.resolve();
    });
    spoil();
    await back.promise;
    watch.close();
    for (const pod of [a, b]) node.network.check(pod);
    for (const host of b.addrs) assert.equal((await asker.ask({ protocol: "tcp", host, port: PORT })).bytes, 1);
  }
});

test("a new process takes over what is there; gc removes what nobody claims", (t) => {
  const node = startNode(t);
  const [a, b] = [startPod(t, node, "a"), startPod(t, node, "b")];
  node.network.stop();
  const next = startNode(t, DUAL, node);
  next.network.check(a);
  next.network.check(b);
  next.network.gc([a]);
  next.network.check(a);
  assert.throws(() => next.network.check(b), /it holds no address/);
  assert.equal(node.route.links.get(hostLinkName(b)), undefined);
  assert.deepEqual(new Set(next.ipam.list().map((lease) => lease.owner.containerId)), new Set(["a"]));
});

test("another Pod CIDR of the node replaces the bridge's addresses", (t) => {
  const node = startNode(t);
  node.network.stop();
  startNode(t, ["10.244.9.0/24"], node);
  assert.deepEqual(
    node.route.addrs.list(BRIDGE).map((addr) => formatPrefix(addr.prefix)),
    ["10.244.9.1/24"],
  );
});

test("a new MTU of the uplink is the next pod's", (t) => {
  const node = startNode(t);
  const [before] = [startPod(t, node, "before")];
  uplink.mtu = 8950;
  t.after(() => {
    uplink.mtu = 1450;
  });
  const after = startPod(t, node, "after");
  const mtuOf = (pod: TestPod): number | undefined => {
    const route = openRoute(pod.ns);
    const mtu = route.links.get("eth0")?.mtu;
    route.close();
    return mtu;
  };
  assert.deepEqual([mtuOf(before), mtuOf(after), node.route.links.get(BRIDGE)?.mtu], [1450, 8950, 8950]);
  node.network.check(before);
});

test("one family only", async (t) => {
  for (const podCidr of DUAL) {
    const node = startNode(t, [podCidr]);
    const [a, b] = [startPod(t, node, "a"), startPod(t, node, "b")];
    const [asker] = await Promise.all([station(t, a.ns), station(t, b.ns)]);
    assert.equal(b.addrs.length, 1);
    assert.equal((await asker.ask({ protocol: "tcp", host: b.addrs[0] ?? "", port: PORT })).seenAs, a.addrs[0]);
  }
});

test("something else of the bridge's name is named and left alone", (t) => {
  const ns = netns.createAnonymous();
  cleanUp(t, () => ns.close());
  const route = openRoute(ns);
  cleanUp(t, () => route.close());
  route.links.add({ name: BRIDGE, type: { kind: "veth", peer: { name: "x" } } });
  const dir = mkdtempSync(`${tmpdir()}/fairlead-cni-`);
  cleanUp(t, () => rmSync(dir, { recursive: true, force: true }));
  assert.throws(() => startNode(t, DUAL, { ns, route, dir }), { code: "NotABridge", message: /has a veth link of that name/ });
});

test("an add takes less than 5 ms of CPU", (t) => {
  const node = startNode(t);
  const spaces = Array.from({ length: 40 }, () => netns.createAnonymous());
  cleanUp(t, () => {
    for (const ns of spaces) ns.close();
  });
  const start = process.cpuUsage();
  for (const [i, ns] of spaces.entries()) node.network.add({ containerId: `c${i}`, ifName: "eth0", netns: ns });
  const { system, user } = process.cpuUsage(start);
  const perAddMs = (system + user) / 1000 / spaces.length;
  t.diagnostic(`${perAddMs.toFixed(2)} ms of CPU per add (user ${(user / 1000 / spaces.length).toFixed(2)})`);
  assert.ok(perAddMs < 5, `${perAddMs} ms`);
});
