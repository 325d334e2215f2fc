// For tests with real packets: a node with pods on its bridge, an outside, and who answers there.
//
// outside 172.18.0.1 ── eth0 172.18.0.11 node ── cni0 10.244.1.1 ── pods     (fd00:18::1, fd00:18::11, fd00:10:244:1::1)
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { silentLogger } from "#base";
import { BRIDGE, createPodNetwork, type PodNetwork } from "#cni";
import { type Addr, formatAddr, parseAddr, parsePrefix } from "#ip";
import { type Ipam, openIpam } from "#ipam";
import { connectSocket, listenFd, type NetNs, netns, openConntrack, openNft, openRoute, type RouteSocket, udpFd } from "#linux";
import { createHostPorts } from "../reconcile.ts";
import type { HostPorts, HostPortsOptions, PodPorts, PortMapping } from "../types.ts";

export interface Place {
  readonly ns: NetNs;
}

export interface TestPod extends Place {
  readonly name: string;
  readonly addrs: readonly Addr[];
}

export class World {
  readonly node: Place & { readonly route: RouteSocket };
  readonly outside: Place & { readonly route: RouteSocket };
  readonly options: HostPortsOptions;
  readonly #dir: string = mkdtempSync(`${tmpdir()}/fairlead-portmap-`);
  readonly #ipam: Ipam;
  readonly #network: PodNetwork;
  readonly #pods: TestPod[] = [];
  readonly #servers: (Server | UdpSocket)[] = [];

  constructor() {
    this.node = place();
    this.outside = place();
    this.#underlay();
    const podCidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"].map((text) => parsePrefix(text));
    this.#ipam = openIpam({ dir: this.#dir, podCidrs, logger: silentLogger });
    this.#network = createPodNetwork({ node: this.node, openRoute, ipam: this.#ipam, mtu: () => 1450, logger: silentLogger });
    const { ns, route } = this.node;
    this.options = { ns, route, nft: openNft(ns), conntrack: openConntrack(ns), podLink: BRIDGE, logger: silentLogger };
  }

  /** A pod that answers on port 8080. */
  pod(name: string): TestPod {
    const ns = netns.createAnonymous();
    this.#network.add({ containerId: name, ifName: "eth0", netns: ns });
    const pod = { name, ns, addrs: this.#network.addrs({ containerId: name, ifName: "eth0" }) };
    this.#pods.push(pod);
    this.serve(pod, name, pod.addrs, 8080);
    return pod;
  }

  ports(pod: TestPod, mappings: readonly PortMapping[]): PodPorts {
    return { containerId: pod.name, pod: `default/${pod.name}`, addrs: pod.addrs, mappings };
  }

  /** As an agent that starts; the one before it may have been killed. */
  start(pods: readonly PodPorts[] = []): HostPorts {
    const hostPorts = createHostPorts(this.options);
    hostPorts.open(pods);
    return hostPorts;
  }

  /** Answers TCP connections and UDP packets with `name client-address`. */
  serve({ ns }: Place, name: string, addrs: readonly Addr[], port: number): void {
    for (const addr of addrs) {
      const server = createServer((socket) => {
        // Whose client is behind a closed door by now.
        socket.unref();
        socket.on("error", () => {});
        socket.on("data", () => socket.write(`${name} ${socket.remoteAddress}`));
      });
      server.listen({ fd: listenFd(ns, addr, port) });
      const udp = createSocket(addr.family === 4 ? "udp4" : "udp6");
      udp.bind({ fd: udpFd(ns, addr, port) });
      udp.on("message", (_, from) => udp.send(`${name} ${from.address}`, from.port, from.address));
      this.#servers.push(server, udp);
    }
  }

  close(): void {
    for (const server of this.#servers) server.close();
    this.#network.stop();
    this.options.nft.close();
    this.options.conntrack.close();
    for (const { route } of [this.node, this.outside]) route.close();
    for (const { ns } of [this.node, this.outside, ...this.#pods]) ns.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #underlay(): void {
    const { node, outside } = this;
    for (const { ns } of [node, outside]) ns.setSysctl("net/ipv6/conf/default/accept_dad", 0);
    node.route.links.add({ name: "eth0", type: { kind: "veth", peer: { name: "eth0", netns: outside.ns } }, up: true });
    outside.route.links.change("eth0", { up: true });
    const addrs: readonly (readonly [RouteSocket, string])[] = [
      [node.route, "172.18.0.11/16"],
      [node.route, "fd00:18::11/64"],
      [outside.route, "172.18.0.1/16"],
      [outside.route, "fd00:18::1/64"],
    ];
    for (const [route, text] of addrs) route.addrs.set({ link: "eth0", prefix: parsePrefix(text) });
    for (const [dst, via] of [
      ["0.0.0.0/0", "172.18.0.1"],
      ["::/0", "fd00:18::1"],
    ] as const) {
      node.route.routes.set({ dst: parsePrefix(dst), nextHops: [{ via: parseAddr(via), link: "eth0" }] });
    }
    // The outside sends this to the node, whose address it is not.
    for (const [dst, via] of [
      ["192.0.2.0/24", "172.18.0.11"],
      ["2001:db8:5::/64", "fd00:18::11"],
    ] as const) {
      outside.route.routes.set({ dst: parsePrefix(dst), nextHops: [{ via: parseAddr(via), link: "eth0" }] });
    }
  }
}

function place(): World["node"] {
  const ns = netns.createAnonymous();
  const route = openRoute(ns);
  route.links.change("lo", { up: true });
  // The kernel sends one client six ICMP errors, and then one a second (inet_peer_xrlim_allow): too few for a test in a hurry.
  for (const name of ["net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"]) ns.setSysctl(name, 0);
  return { ns, route };
}

function plain(answer: string): string {
  return answer.replace("::ffff:", "");
}

function codeOf(err: unknown): string {
  return typeof err === "object" && err !== null && "code" in err ? String(err.code) : String(err);
}

const GIVE_UP_MS = 5000;

/** What one TCP connection gets as an answer, or the code of its error. */
export async function tcp({ ns }: Place, to: string, port: number): Promise<string> {
  const socket: Socket = connectSocket(ns, { addr: parseAddr(to), port });
  const giveUp = setTimeout(() => socket.destroy(new Error("no answer")), GIVE_UP_MS);
  try {
    await once(socket, "connect");
    socket.write("?");
    const [answer] = await once(socket, "data");
    return plain(String(answer));
  } catch (err) {
    return codeOf(err);
  } finally {
    clearTimeout(giveUp);
    socket.destroy();
  }
}

/** A UDP client that keeps its port. */
export class UdpClient {
  readonly #socket: UdpSocket;
  readonly #ready: Promise<unknown>;

  constructor({ ns }: Place, to: string, port: number, from?: string) {
    const addr = parseAddr(to);
    this.#socket = createSocket(addr.family === 4 ? "udp4" : "udp6");
    // A question without an answer must not keep the test alive.
    this.#socket.unref();
    this.#socket.bind({ fd: udpFd(ns, parseAddr(from ?? (addr.family === 4 ? "0.0.0.0" : "::")), 0) });
    // A connected socket takes answers from nowhere else, and hears of ICMP errors.
    this.#ready = once(this.#socket, "connect");
    this.#socket.connect(port, formatAddr(addr));
  }

  async ask(): Promise<string> {
    await this.#ready;
    const { promise, resolve } = Promise.withResolvers<string>();
    const onMessage = (message: Buffer): void => resolve(plain(message.toString()));
    const onError = (err: Error): void => resolve(codeOf(err));
    const giveUp = setTimeout(() => resolve("no answer"), GIVE_UP_MS);
    this.#socket.once("message", onMessage);
    this.#socket.once("error", onError);
    this.#socket.send("?");
    const answer = await promise;
    clearTimeout(giveUp);
    this.#socket.off("message", onMessage);
    this.#socket.off("error", onError);
    return answer;
  }

  close(): void {
    this.#socket.close();
  }
}

export async function udp(from: Place, to: string, port: number): Promise<string> {
  const client = new UdpClient(from, to, port);
  const answer = await client.ask();
  client.close();
  return answer;
}
