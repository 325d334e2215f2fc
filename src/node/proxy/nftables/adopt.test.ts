// What a proxy finds in the kernel that is not as it should be goes, and nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr } from "#ip";
import type { FakeNft } from "#linux/fake";
import { type Change, type Element, formatKey } from "#nft";
import { elements, type Setup, start } from "../fixture-fake.ts";
import { type PortSpec, service, slice } from "../testing.ts";
import { SETS, TABLE } from "./layout.ts";

const HTTP: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080 }];
const OBJECTS = [service("web", ["10.96.0.1"], HTTP), slice("web", ["10.244.1.2@a", "10.244.1.3@a"], HTTP)];
const { endpoints } = SETS[4];
const VIP = parseAddr("10.96.0.1");

function backend(index: number, to: string, comment?: string): Element {
  return { key: [VIP, 6, 80, index], data: [parseAddr(to), 8080], ...(comment !== undefined && { comment }) };
}

/** The keys that a proxy removes and adds where `wrong` has happened meanwhile. */
async function putRight(wrong: readonly Change[]): Promise<{ remove: string[]; add: string[] }> {
  const { nft, proxy } = await start(OBJECTS);
  const right = elements(nft);
  const before = nft.transactions.length + 1;
  nft.apply(wrong);
  await proxy.resync();
  assert.deepEqual(elements(nft), right);
  proxy.stop();
  return { remove: keys(nft, "delete elements", before), add: keys(nft, "add elements", before) };
}

function keys(nft: FakeNft, op: "add elements" | "delete elements", from: number): string[] {
  const changes = nft.transactions.slice(from).flat();
  return changes.flatMap((change) => (change.op === op ? change.elements.map((element) => formatKey(change.set, element)) : [])).sort();
}

const add = (...all: readonly Element[]): Change => ({ op: "add elements", table: TABLE, set: endpoints, elements: all });
const remove = (...all: readonly Element[]): Change => ({ op: "delete elements", table: TABLE, set: endpoints, elements: all });

test("a backend with a number that nobody has", async () => {
  assert.deepEqual(await putRight([add(backend(2, "10.244.1.9", "default/web:http"))]), { remove: ["10.96.0.1 . tcp . 80 . 2"], add: [] });
});

test("a number that no backend can have", async () => {
  assert.deepEqual(await putRight([add(backend(200_000, "10.244.1.9"))]), { remove: ["10.96.0.1 . tcp . 80 . 200000"], add: [] });
});

test("a backend of a frontend that there is not", async () => {
  const stray = { ...backend(0, "10.244.1.9"), key: [parseAddr("10.96.0.9"), 6, 80, 0] };
  assert.deepEqual(await putRight([add(stray)]), { remove: ["10.96.0.9 . tcp . 80 . 0"], add: [] });
});

test("a number without its backend", async () => {
  assert.deepEqual(await putRight([remove(backend(1, "10.244.1.3"))]), { remove: [], add: ["10.96.0.1 . tcp . 80 . 1"] });
});

test("a number with another backend", async () => {
  const wrong = [remove(backend(1, "10.244.1.3")), add(backend(1, "10.244.1.9", "default/web:http"))];
  assert.deepEqual(await putRight(wrong), { remove: ["10.96.0.1 . tcp . 80 . 1"], add: ["10.96.0.1 . tcp . 80 . 1"] });
});

test("backends that are said to be another Service's: all of the frontend are written anew", async () => {
  const wrong = [remove(backend(1, "10.244.1.3")), add(backend(1, "10.244.1.3", "default/other:http"))];
  const both = ["10.96.0.1 . tcp . 80 . 0", "10.96.0.1 . tcp . 80 . 1"];
  assert.deepEqual(await putRight(wrong), { remove: both, add: both });
});

test("nothing: no transaction", async () => {
  const first: Setup = await start(OBJECTS);
  const before = first.nft.transactions.length;
  await first.proxy.resync();
  assert.equal(first.nft.transactions.length, before);
  first.proxy.stop();
});
