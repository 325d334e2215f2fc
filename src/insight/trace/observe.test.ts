// From sightings to how it ended: which packets belong to the question, and what a real packet met.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseAddr } from "#ip";
import type { CaptureSighting, ProbeResult, Sighting, TraceSighting } from "#observe";
import type { Packet, TcpFlag } from "#wire";
import { FORWARDING } from "../../core/model/testing/world.ts";
import { differences } from "./compare.ts";
import { formatTrace } from "./format.ts";
import { judged } from "./observe.ts";
import { predict } from "./predict.ts";
import { askServer, sceneOf } from "./testing/fixture.ts";
import type { Observed, Scene } from "./types.ts";

const CLIENT = "10.0.1.2";
const SERVER = "10.0.2.2";
const PORT = 20_001;

interface Told {
  readonly from?: string;
  readonly to?: string;
  readonly ports?: readonly [number, number];
  readonly flags?: readonly TcpFlag[];
  readonly protocol?: "tcp" | "udp";
}

function packet({ from = CLIENT, to = SERVER, ports = [PORT, 80], flags = ["SYN"], protocol = "tcp" }: Told): Packet {
  const [srcPort, dstPort] = ports;
  const [src, dst] = [parseAddr(from), parseAddr(to)];
  const ip = { family: dst.family, src, dst, ttl: 64, trafficClass: 0, length: 60, dontFragment: true } as const;
  const payload = new Uint8Array();
  return protocol === "tcp"
    ? { ip: { ...ip, protocol: 6 }, tcp: { srcPort, dstPort, sequence: 0, acknowledgment: 0, flags, window: 1 }, payload }
    : { ip: { ...ip, protocol: 17 }, udp: { srcPort, dstPort, length: 8, checksum: 0 }, payload };
}

const REPLY: Told = { from: SERVER, to: CLIENT, ports: [80, PORT], flags: ["SYN", "ACK"] };

/** `client eth0 out`, one after the other. */
function captures(places: readonly string[], told: Told = {}, start = 0): CaptureSighting[] {
  return places.map((place, i) => {
    const [namespace = "", link = "", direction] = place.split(" ");
    const timeNs = BigInt((start + i) * 1000);
    return {
      kind: "capture",
      timeNs,
      node: "node-1",
      namespace,
      link,
      direction: direction === "in" ? "in" : "out",
      packet: packet(told),
      length: 74,
    };
  });
}

const THERE = ["client eth0 out", "router client in", "router server out", "server eth0 in"];
const BACK = ["server eth0 out", "router server in", "router client out", "client eth0 in"];

function step(more: Partial<TraceSighting>): TraceSighting {
  return {
    kind: "trace",
    timeNs: 1n,
    node: "node-1",
    namespace: "router",
    traceId: 1,
    step: "rule",
    family: "inet",
    table: "theirs",
    chain: "c",
    handle: 4,
    verdict: "drop",
    packet: packet({}),
    ...more,
  };
}

function seen(probe: ProbeResult, sightings: readonly Sighting[], scene: Scene = sceneOf({})): Observed {
  return judged(scene, predict(scene), { probe, clientPort: PORT, sightings, problems: [] });
}

const SILENCE: ProbeResult = { outcome: "silence" };

suite("a real packet", () => {
  test("answered", () => {
    const { verdict, points, cause } = seen({ outcome: "answered", rttUs: 100 }, [...captures(THERE), ...captures(BACK, REPLY, 10)]);
    assert.deepEqual([verdict, cause], ["allowed", undefined]);
    assert.deepEqual(
      points.map(({ namespace, link, way, direction }) => `${direction} ${namespace} ${link} ${way}`),
      [...THERE.map((place) => `request ${place}`), ...BACK.map((place) => `reply ${place}`)],
    );
  });

  test("other packets are not looked at", () => {
    const others = [{ from: "10.0.1.9", ports: [5, 80] }, { ports: [PORT, 81] }, { to: "10.0.2.9" }, { ports: [PORT + 1, 80] }] as const;
    const { points } = seen(SILENCE, [...others.flatMap((told) => captures(THERE, told)), ...captures(["client eth0 out"], {}, 50)]);
    assert.deepEqual(
      points.map(({ timeNs }) => timeNs),
      [50_000n],
    );
  });

  test("dropped by a rule", () => {
    const jumped = step({ chain: "base", verdict: "jump", target: "c", comment: "why" });
    const { verdict, cause } = seen(SILENCE, [...captures(THERE.slice(0, 2)), jumped, step({ rule: "ip daddr 10.0.2.2 drop" })]);
    assert.deepEqual([verdict, cause?.code], ["silence", "foreign rule"]);
    assert.match(cause?.facts.join("\n") ?? "", /inet theirs c: ip daddr 10\.0\.2\.2 drop/);
    assert.match(cause?.facts.at(-1) ?? "", /^seen last: in client of router/);
  });

  test("a rule that drops somebody else's packet is not it", () => {
    const other = step({ packet: packet({ from: "10.0.1.9", ports: [5, 80] }), traceId: 9 });
    assert.equal(seen({ outcome: "answered" }, [other]).cause, undefined);
    assert.equal(seen(SILENCE, [other, ...captures(THERE)]).cause?.code, "unknown");
  });

  test("reset by who was asked", () => {
    const scene = sceneOf({ server: { listeners: [] } });
    const reset = captures(BACK, { ...REPLY, flags: ["RST", "ACK"] }, 10);
    const { verdict, cause } = seen({ outcome: "refused", errno: "ECONNREFUSED" }, [...captures(THERE), ...reset], scene);
    assert.deepEqual([verdict, cause?.code], ["refused", "port closed"]);
  });

  test("an error of a router", () => {
    const from = parseAddr("10.0.1.1");
    const { cause } = seen({ outcome: "refused", icmp: { type: 3, code: 0, from } }, captures(THERE.slice(0, 2)));
    assert.deepEqual([cause?.code, cause?.sentence], ["no route", "router has no route to 10.0.2.2"]);
  });

  test("the own kernel says no", () => {
    const { verdict, cause } = seen({ outcome: "error", errno: "ENETUNREACH" }, [], sceneOf({ client: { routes: [] } }));
    assert.deepEqual([verdict, cause?.code], ["silence", "no route"]);
  });

  test("the own kernel has no such protocol", () => {
    const { cause } = seen({ outcome: "error", errno: "EPROTONOSUPPORT", message: "Cannot open a socket" }, []);
    assert.equal(cause?.sentence, "the kernel of client cannot send tcp at all: Cannot open a socket");
  });

  test("lost where the model says, for the reason that it gives", () => {
    const scene = sceneOf({ router: { sysctls: { "net/ipv4/ip_forward": 0 } } });
    const { cause } = seen(SILENCE, captures(THERE.slice(0, 2)), scene);
    assert.deepEqual([cause?.code, predict(scene).cause?.code], ["not forwarding", "not forwarding"]);
  });

  test("a router forwards one family and not the other", () => {
    const [from, to] = ["fd00:1::2", "fd00:2::2"];
    const ask = askServer({ dst: parseAddr(to) });
    const codes = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"].map((closed) => {
      const scene = sceneOf({ router: { sysctls: { ...FORWARDING, [closed]: 0 } } }, { ask });
      return seen(SILENCE, captures(THERE.slice(0, 2), { from, to }), scene).cause?.code;
    });
    assert.deepEqual(codes, ["unknown", "not forwarding"]);
  });

  test("a datagram that came and is not answered", () => {
    const ask = askServer({ protocol: "udp" });
    const scene = sceneOf({ server: { listeners: [{ protocol: 17, port: 80 }] } }, { ask });
    const { verdict, cause } = seen(SILENCE, captures(THERE, { protocol: "udp" }), scene);
    assert.deepEqual([verdict, cause?.code], ["allowed", "no answer"]);
  });

  test("a connection that stands, and full-size packets that do not arrive", () => {
    const { cause } = seen({ outcome: "silence", connected: true }, captures(THERE));
    assert.equal(cause?.code, "mtu");
  });
});

suite("side by side", () => {
  const foreign = step({ rule: "drop" });

  test("what was not foreseen is said aloud, with the table", () => {
    const scene = sceneOf({});
    const predicted = predict(scene);
    const observed = judged(scene, predicted, {
      probe: SILENCE,
      clientPort: PORT,
      sightings: [...captures(THERE.slice(0, 2)), foreign],
      problems: [],
    });
    const said = differences(scene, predicted, observed);
    assert.equal(said[0], "predicted allowed, observed silence");
    assert.match(said[1] ?? "", /table inet theirs, chain c, of router, not Fairlead's: drop/);
  });

  test("no difference where both say the same", () => {
    const scene = sceneOf({});
    const predicted = predict(scene);
    const sightings = [...captures(THERE), ...captures(BACK, REPLY, 10)];
    const observed = judged(scene, predicted, { probe: { outcome: "answered" }, clientPort: PORT, sightings, problems: [] });
    assert.deepEqual(differences(scene, predicted, observed), []);
  });

  test("another way than foreseen", () => {
    const scene = sceneOf({ router: { sysctls: FORWARDING } });
    const predicted = predict(scene);
    const sightings = captures(["client eth0 out", "router client in", "router other out", "server eth0 in"]);
    const observed = judged(scene, predicted, { probe: { outcome: "answered" }, clientPort: PORT, sightings, problems: [] });
    assert.deepEqual(differences(scene, predicted, observed), ["predicted to pass server of router, not seen there"]);
  });

  test("text in two columns", () => {
    const scene = sceneOf({ router: { sysctls: {} } });
    const predicted = predict(scene);
    const observed = judged(scene, predicted, { probe: SILENCE, clientPort: PORT, sightings: captures(THERE.slice(0, 2)), problems: [] });
    const { cause } = observed;
    const leg = { ask: scene.ask, predicted, observed, differences: [] };
    const text = formatTrace({
      question: "client → server",
      leg,
      verdict: "silence",
      sentence: `silence: ${cause?.sentence}`,
      ...(cause && { cause }),
    });
    assert.equal(text, EXPECTED);
  });
});

const EXPECTED = `client → server

PREDICTED                            OBSERVED
request:
  client  made here → eth0           out eth0 +0 µs
      10.0.1.2:40000 > 10.0.2.2:80 tcp syn 40 bytes ttl 64
      route: 0.0.0.0/0 via 10.0.1.1 dev eth0
      neighbour: 10.0.1.1 is at 02:fa:50:aa:e3:6b (asked)
  router  client → ends here         in client +1 µs
      10.0.1.2:40000 > 10.0.2.2:80 tcp syn 40 bytes ttl 64
      route: 10.0.2.0/24 dev server
  dropped in router: not forwarding
silence: the request ends in router  silence

cause: not forwarding
  seen last: in client of router: 10.0.1.2:20001 > 10.0.2.2:80 tcp SYN 0 bytes

silence: router does not forward IPv4 packets
`;
