import assert from "node:assert/strict";
import type { RouteEvent } from "../types.ts";
import { addr, addVeth, mac, type Network, prefix, type World, worldTest } from "./network.ts";

/** Collects events and waits for the one that is looked for. */
function recorder(route: World["route"], objects?: readonly RouteEvent["object"][]) {
  const events: RouteEvent[] = [];
  let wake: (() => void) | undefined;
  const watch = route.watch((event) => {
    events.push(event);
    wake?.();
  }, objects);
  return {
    events,
    close: () => watch.close(),
    async seen(wanted: RouteEvent): Promise<void> {
      const isWanted = (e: RouteEvent): boolean =>
        e.object === wanted.object && e.action === wanted.action && (wanted.link === undefined || e.link === wanted.link);
      while (!events.some(isWanted)) {
        await new Promise<void>((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`no ${JSON.stringify(wanted)} among ${JSON.stringify(events)}`)), 5000);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
  };
}

export function watchContract(network: Network): void {
  worldTest(network, "changes of every kind are told", async ({ route }) => {
    const record = recorder(route);
    addVeth(route, "10.0.0.1/24");
    await record.seen({ object: "link", action: "new", link: "v0" });
    await record.seen({ object: "addr", action: "new", link: "v0" });
    route.routes.set({ dst: prefix("10.1.0.0/24"), nextHops: [{ via: addr("10.0.0.2") }] });
    await record.seen({ object: "route", action: "new" });
    route.neighs.set({ link: "v0", addr: addr("10.0.0.2"), mac: mac("02:00:00:00:00:02") });
    await record.seen({ object: "neigh", action: "new", link: "v0" });
    route.rules.add({ family: 4, priority: 10, table: 10 });
    await record.seen({ object: "rule", action: "new" });
    route.rules.del({ family: 4, priority: 10, table: 10 });
    await record.seen({ object: "rule", action: "del" });
    route.neighs.del({ link: "v0", addr: addr("10.0.0.2") });
    route.routes.del({ dst: prefix("10.1.0.0/24"), nextHops: [] });
    await record.seen({ object: "route", action: "del" });
    route.addrs.del({ link: "v0", prefix: prefix("10.0.0.1/24") });
    await record.seen({ object: "addr", action: "del", link: "v0" });
    route.links.del("v0");
    await record.seen({ object: "link", action: "del", link: "v0" });
    record.close();
  });

  worldTest(network, "only what was asked for, and nothing after close", async ({ route }) => {
    const links = recorder(route, ["link"]);
    const addrs = recorder(route, ["addr"]);
    addVeth(route, "10.0.0.1/24");
    await addrs.seen({ object: "addr", action: "new", link: "v0" });
    await links.seen({ object: "link", action: "new", link: "v0" });
    assert.deepEqual([...new Set(links.events.map((e) => e.object))], ["link"]);
    assert.deepEqual([...new Set(addrs.events.map((e) => e.object))], ["addr"]);
    links.close();
    links.close();
    const before = links.events.length;
    route.addrs.set({ link: "v0", prefix: prefix("10.0.7.1/24") });
    route.links.del("v0");
    await addrs.seen({ object: "addr", action: "del", link: "v0" });
    assert.equal(links.events.length, before);
    addrs.close();
  });
}
