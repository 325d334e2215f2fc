// What a packet pays on its way from pod to pod, through tables of so many policies, in turn: `packets.ts COUNTS PACKETS ROUNDS` prints a PacketResult
// for each. Sending does the whole way, up to the receiver's buffer, before it returns.
import { NETWORK_POLICIES } from "#kube";
import { udpFd } from "#linux";
import { sendto } from "../../src/io/linux/ffi.ts";
import { Neighbourhood } from "../../src/node/policy/testing/neighbourhood.ts";
import type { Policies } from "../../src/node/policy/types.ts";

export interface PacketResult {
  /** Absent: no policy table. */
  readonly policies?: number;
  /** Nanoseconds of one packet: the best round, and the middle one. */
  readonly bestNs: number;
  readonly medianNs: number;
}

const PORT = 9999;

interface Way {
  readonly policies?: number;
  readonly times: number[];
  send(packets: number): void;
  close(): void;
}

const [counts = "", packets = "20000", rounds = "9"] = process.argv.slice(2);
const ways: Way[] = [];
for (const count of [undefined, ...counts.split(",").map(Number)]) ways.push(await way(count));
for (const { send } of ways) send(1000);
for (let round = 0; round < Number(rounds); round++) {
  for (const { send, times } of ways) {
    const begin = process.hrtime.bigint();
    send(Number(packets));
    times.push(Number(process.hrtime.bigint() - begin) / Number(packets));
  }
}
const results = ways.map(({ policies, times }): PacketResult => {
  times.sort((a, b) => a - b);
  return { ...(policies !== undefined && { policies }), bestNs: times[0] ?? 0, medianNs: times[times.length >> 1] ?? 0 };
});
for (const { close } of ways) close();
console.log(JSON.stringify(results));
process.exit(0);

/** A node of its own: one policy is about the receiver and lets the sender in, all others are about a third pod. */
async function way(count: number | undefined): Promise<Way> {
  const hood = new Neighbourhood();
  const [server, client, other] = [hood.pod("x/server"), hood.pod("x/friend"), hood.pod("x/other")];
  let policies: Policies | undefined;
  if (count !== undefined) {
    for (let n = 0; n < count; n++) seedPolicy(hood, n);
    policies = hood.start([server, client, other].map(({ local }) => local));
    await policies.ready;
  }
  const [addr] = server.addrs;
  if (addr === undefined) throw new Error("the server has no address");
  udpFd(server.ns, addr, PORT);
  const fd = udpFd(client.ns, { family: 4, bytes: new Uint8Array(4) }, 0);
  // struct sockaddr_in
  const to = new Uint8Array(16);
  to.set([2, 0, PORT >> 8, PORT & 255, ...addr.bytes]);
  const data = new Uint8Array(64);
  return {
    ...(count !== undefined && { policies: count }),
    times: [],
    send(wanted) {
      for (let i = 0; i < wanted; i++) sendto(fd, data, data.length, to);
    },
    close() {
      policies?.stop();
      hood.world.close();
    },
  };
}

function seedPolicy(hood: Neighbourhood, n: number): void {
  hood.client.seed(NETWORK_POLICIES, {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "x", name: `p-${n}` },
    spec: {
      podSelector: { matchLabels: { pod: n === 0 ? "server" : "other" } },
      ingress: [
        {
          from: [{ podSelector: { matchLabels: n === 0 ? { pod: "friend" } : { nobody: String(n % 100) } } }],
          ports: [{ port: PORT, protocol: "UDP" }, { port: n + 1 }],
        },
      ],
    },
  });
}
