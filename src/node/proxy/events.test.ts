import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "kubernetes-types/core/v1";
import { createInformer, type RecordedEvent } from "#client";
import { createFakeClient } from "#client/fake";
import { type KubeObject, NODES, SERVICES, type Stored } from "#kube";
import { compileService } from "./compile.ts";
import { ServiceEvents } from "./events.ts";
import { Frontends } from "./frontends.ts";
import { NODE, service } from "./testing.ts";

const HTTP = [{ name: "http", port: 80 }];

function node(name: string, ready: boolean): Node {
  const conditions = [{ type: "Ready", status: ready ? "True" : "False" }];
  return { apiVersion: "v1", kind: "Node", metadata: { name }, status: { conditions } };
}

async function setup(
  objects: readonly KubeObject[],
  own: string,
): Promise<{ said: string[]; events: ServiceEvents; turn: () => Promise<void> }> {
  const client = createFakeClient(objects);
  const services = createInformer(client, SERVICES, {});
  const nodes = createInformer(client, NODES, {});
  await Promise.all([services.synced, nodes.synced]);
  const said: string[] = [];
  const recorder = {
    event: (object: Stored, { reason, message }: RecordedEvent) => void said.push(`${object.metadata.name} ${reason}: ${message}`),
    flush: async () => {},
  };
  const events = new ServiceEvents({ events: recorder, services, nodes, node: own });
  return {
    said,
    events,
    async turn() {
      const gone = Promise.withResolvers<void>();
      nodes.subscribe(({ key, object }) => {
        if (key === "node-1" && object.status?.conditions?.[0]?.status === "False") gone.resolve();
      });
      await client.update(NODES, node("node-1", false), { subresource: "status" });
      await gone.promise;
      services.stop();
      nodes.stop();
    },
  };
}

const odd = service("odd", ["10.96.0.1"], HTTP, { externalIPs: ["127.0.0.1"] });
const results = new Map([["default/odd", compileService({ service: odd, slices: [], node: NODE })]]);

test("each problem is said once, by the first of the nodes that are ready", async () => {
  const objects = [odd, node("node-1", true), node("node-2", true), node("node-0", false)];
  const first = await setup(objects, "node-1");
  const second = await setup(objects, "node-2");
  for (const { events } of [first, second]) {
    events.compiled(results);
    events.compiled(results);
  }
  const expected = ['odd UnusableAddress: spec.externalIPs[0] "127.0.0.1" is not used: it is a loopback address'];
  assert.deepEqual(first.said, expected);
  assert.deepEqual(second.said, []);
  await Promise.all([first.turn(), second.turn()]);
  assert.deepEqual(second.said, expected);
  assert.deepEqual(first.said, expected);
});

test("the Service that has to do without its address hears who has it", async () => {
  const ip = { externalIPs: ["192.0.2.1", "10.96.0.1"] };
  const both = [service("a", ["10.96.0.1"], HTTP, ip), service("b", ["10.96.0.2"], HTTP, ip)];
  const { said, events, turn } = await setup([...both, node("node-1", true)], "node-1");
  const frontends = new Frontends();
  for (const each of both) {
    const touched = frontends.set(`default/${each.metadata?.name}`, compileService({ service: each, slices: [], node: NODE }).frontends);
    for (const { winner, loser } of frontends.newConflicts(touched)) events.contested(winner, loser);
  }
  assert.deepEqual(said, [
    "b AddressConflict: ExternalIP 192.0.2.1 TCP port 80 belongs to the Service default/a, which is as old and comes first by name: connections there do not reach this one",
    "b AddressConflict: ExternalIP 10.96.0.1 TCP port 80 belongs to the Service default/a, whose ClusterIP it is: connections there do not reach this one",
  ]);
  await turn();
});
