// A name server that a router cannot reach: the question fails with what the router says, long before it would time out.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger, systemClock } from "#base";
import { parseAddr, parsePrefix } from "#ip";
import { netns, openRoute } from "#linux";
import { DNS_CLASS_IN, DNS_TYPE, dnsMessage, encodeDns } from "#wire";
import { Forwarder } from "./forwarder.ts";

const QUERY = Buffer.from(encodeDns(dnsMessage({ questions: [{ name: "www.example.com", type: DNS_TYPE.A, class: DNS_CLASS_IN }] })));

for (const [family, here, router, far] of [
  ["IPv4", "192.0.2.2/24", "192.0.2.1/24", "198.51.100.53"],
  ["IPv6", "2001:db8:1::2/64", "2001:db8:1::1/64", "2001:db8:2::53"],
] as const) {
  for (const forbidden of [false, true])
    test(`${family}: ${forbidden ? "a router that forbids the way" : "no route behind the router"}`, async () => {
      using own = netns.current();
      const other = netns.createAnonymous();
      const mine = openRoute(own);
      const theirs = openRoute(other);
      other.setSysctl("net.ipv4.ip_forward", 1);
      other.setSysctl("net.ipv6.conf.all.forwarding", 1);
      mine.links.add({ name: "up", type: { kind: "veth", peer: { name: "down", netns: other } } });
      theirs.addrs.set({ link: "down", prefix: parsePrefix(router) });
      theirs.links.change("down", { up: true });
      mine.addrs.set({ link: "up", prefix: parsePrefix(here) });
      mine.links.change("up", { up: true });
      const everywhere = parsePrefix(family === "IPv4" ? "0.0.0.0/0" : "::/0");
      const gateway = parseAddr(router.replace(/\/.*/, ""));
      mine.routes.set({ dst: everywhere, nextHops: [{ via: gateway, link: "up" }] });
      if (forbidden) theirs.routes.set({ dst: everywhere, type: "prohibit", nextHops: [] });
      // Many times longer than a test may take.
      const timing = { timeoutMs: 1 << 30, deadlineMs: 1 << 30 };
      const forwarder = new Forwarder({ upstreams: [{ host: far, port: 53 }], clock: systemClock, logger: silentLogger, ...timing });
      try {
        for (let i = 0; i < 10; i++)
          await assert.rejects(forwarder.ask(QUERY, "udp"), { code: "Unreachable", message: /E(NETUNREACH|HOSTUNREACH|ACCES)/ });
      } finally {
        forwarder.close();
        mine.links.del("up");
        mine.close();
        theirs.close();
        other.close();
      }
    });
}
