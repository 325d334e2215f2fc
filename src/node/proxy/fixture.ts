// A node with two pods and an outside, in network namespaces of their own, for tests with real packets.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { type Addr, formatAddr, hostPrefix, parseAddr, parsePrefix } from "#ip";
import { connectSocket, listenFd, type NetNs, netns, openRoute, type RouteSocket, udpFd } from "#linux";

export interface Host {
  readonly name: string;
  readonly ns: NetNs;
  readonly route: RouteSocket;
  readonly addrs: readonly [v4: Addr, v6: Addr];
  /** Ended with the fixture: a connection that nobody answers keeps the process alive for two minutes. */
  readonly clients: Set<Socket>;
}

/** Node-side addresses that pods know as their gateway. */
const GATEWAYS: readonly [string, string] = ["10.244.1.1", "fd00:10:244:1::1"];

/**
 * ```
 * outside 172.18.0.1 ── eth0 172.18.0.11 node ─┬─ pod-a 10.244.1.2
 *         fd00:18::1           fd00:18::11     └─ pod-b 10.244.1.3   (fd00:10:244:1::2, ::3)
 * ```
 * The node routes between its pods, as with isolated bridge ports. The outside knows no way to the pods; it sends 192.0.2.0/24 and
 * 2001:db8:5::/64 to the node.
 */
export class Fixture {
  readonly node: Host;
  readonly outside: Host;
  readonly podA: Host;
  readonly podB: Host;
  readonly #servers: (Server | UdpSocket)[] = [];

  constructor() {
    this.node = host("node", "172.18.0.11", "fd00:18::11");
    this.outside = host("outside", "172.18.0.1", "fd00:18::1");
    this.podA = host("pod-a", "10.244.1.2", "fd00:10:244:1::2");
    this.podB = host("pod-b", "10.244.1.3", "fd00:10:244:1::3");
    this.#underlay();
    this.#pod(this.podA, "veth-a");
    this.#pod(this.podB, "veth-b");
    for (const sysctl of ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]) this.node.ns.setSysctl(sysctl, 1);
    // The kernel sends one client six ICMP errors, and then one a second (inet_peer_xrlim_allow): too few for a test in a hurry.
    for (const sysctl of ["net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"]) this.node.ns.setSysctl(sysctl, 0);
  }

  get hosts(): readonly Host[] {
    return [this.node, this.outside, this.podA, this.podB];
  }

  /** Answers TCP connections and UDP packets to the host's addresses with `name client-address`. */
  serve(at: Host, port: number): void {
    for (const addr of at.addrs) {
      const server = createServer((socket) => {
        // Whose client is behind a closed door by now.
        socket.unref();
        socket.on("error", () => {});
        socket.on("data", () => socket.write(`${at.name} ${socket.remoteAddress}`));
      });
      server.listen({ fd: listenFd(at.ns, addr, port) });
      this.#servers.push(server);
      const udp = createSocket(addr.family === 4 ? "udp4" : "udp6");
      udp.bind({ fd: udpFd(at.ns, addr, port) });
      udp.on("message", (_, from) => udp.send(`${at.name} ${from.address}`, from.port, from.address));
      this.#servers.push(udp);
    }
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const { route, ns, clients } of this.hosts) {
      for (const socket of clients) socket.destroy();
      route.close();
      ns.close();
    }
  }

  #underlay(): void {
    const { node, outside } = this;
    node.route.links.add({ name: "eth0", type: { kind: "veth", peer: { name: "eth0", netns: outside.ns } }, up: true });
    outside.route.links.change("eth0", { up: true });
    for (const { route, addrs } of [node, outside]) {
      route.addrs.set({ link: "eth0", prefix: { addr: addrs[0], bits: 16 } });
      route.addrs.set({ link: "eth0", prefix: { addr: addrs[1], bits: 64 } });
    }
    for (const via of node.addrs) {
      outside.route.routes.set({
        dst: parsePrefix(via.family === 4 ? "192.0.2.0/24" : "2001:db8:5::/64"),
        nextHops: [{ via, link: "eth0" }],
      });
    }
    outside.addrs.forEach((via) => {
      node.route.routes.set({ dst: parsePrefix(via.family === 4 ? "0.0.0.0/0" : "::/0"), nextHops: [{ via, link: "eth0" }] });
    });
  }

  #pod(pod: Host, link: string): void {
    const { route } = this.node;
    route.links.add({ name: link, type: { kind: "veth", peer: { name: "eth0", netns: pod.ns } }, up: true });
    pod.route.links.change("eth0", { up: true });
    for (const addr of pod.addrs) {
      const gateway = parseAddr(GATEWAYS[addr.family === 4 ? 0 : 1]);
      route.addrs.set({ link, prefix: hostPrefix(gateway) });
      route.routes.set({ dst: hostPrefix(addr), nextHops: [{ link }], scope: "link" });
      pod.route.addrs.set({ link: "eth0", prefix: hostPrefix(addr) });
      pod.route.routes.set({ dst: hostPrefix(gateway), nextHops: [{ link: "eth0" }], scope: "link" });
      pod.route.routes.set({ dst: parsePrefix(addr.family === 4 ? "0.0.0.0/0" : "::/0"), nextHops: [{ via: gateway, link: "eth0" }] });
    }
  }
}

function host(name: string, v4: string, v6: string): Host {
  const ns = netns.createAnonymous();
  const route = openRoute(ns);
  // An address answers at once, and not after the second in which others may object to it.
  for (const which of ["all", "default"]) ns.setSysctl(`net.ipv6.conf.${which}.accept_dad`, 0);
  route.links.change("lo", { up: true });
  return { name, ns, route, addrs: [parseAddr(v4), parseAddr(v6)], clients: new Set() };
}

/** A TCP connection that can be asked more than once. Rejects with the socket's error. */
export async function connect(from: Host, to: string, port: number): Promise<{ ask(): Promise<string>; end(): void }> {
  const socket: Socket = connectSocket(from.ns, { addr: parseAddr(to), port });
  from.clients.add(socket);
  socket.once("close", () => from.clients.delete(socket));
  await once(socket, "connect");
  return {
    async ask() {
      socket.write("?");
      const [answer] = await once(socket, "data");
      return String(answer);
    },
    end: () => void socket.destroy(),
  };
}

/** What one TCP connection gets as an answer, or the code of its error. */
export async function tcp(from: Host, to: string, port: number): Promise<string> {
  try {
    const connection = await connect(from, to, port);
    const answer = await connection.ask();
    connection.end();
    return answer;
  } catch (err) {
    return codeOf(err);
  }
}

/** How long an answer may take that is not expected to come. */
const SILENCE_MS = 250;

/** "silence" when there is no answer and no refusal either. */
export function unlessSilent(answer: Promise<string>): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve("silence"), SILENCE_MS);
  void answer.then((text) => {
    clearTimeout(timer);
    resolve(text);
  });
  return promise;
}

export class UdpClient {
  readonly #socket: UdpSocket;
  readonly #ready: Promise<unknown>;

  constructor(from: Host, to: string, port: number) {
    const addr = parseAddr(to);
    this.#socket = createSocket(addr.family === 4 ? "udp4" : "udp6");
    this.#socket.unref();
    this.#socket.bind({ fd: udpFd(from.ns, parseAddr(addr.family === 4 ? "0.0.0.0" : "::"), 0) });
    // A connected socket takes answers from nowhere else, and hears of ICMP errors.
    this.#ready = once(this.#socket, "connect");
    this.#socket.connect(port, formatAddr(addr));
  }

  async ask(): Promise<string> {
    await this.#ready;
    const { promise, resolve } = Promise.withResolvers<string>();
    const onMessage = (message: Buffer): void => resolve(message.toString());
    const onError = (err: Error): void => resolve(codeOf(err));
    this.#socket.once("message", onMessage);
    this.#socket.once("error", onError);
    this.#socket.send("?");
    const answer = await promise;
    this.#socket.off("message", onMessage);
    this.#socket.off("error", onError);
    return answer;
  }

  close(): void {
    this.#socket.close();
  }
}

export async function udp(from: Host, to: string, port: number): Promise<string> {
  const client = new UdpClient(from, to, port);
  const answer = await client.ask();
  client.close();
  return answer;
}

function codeOf(err: unknown): string {
  return typeof err === "object" && err !== null && "code" in err ? String(err.code) : String(err);
}
