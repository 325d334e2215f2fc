// What nf_tables promises, run over the fake and over the kernel. Each case gets a namespace (or a fake) without tables.
import assert from "node:assert/strict";
import { inspect } from "node:util";
import { addrPlus, parseAddr } from "#ip";
import { type Change, concat, diffTable, type Element, equals, gotoVerdict, meta, payload, type SetHeader, type TableId, TCP } from "#nft";
import { isErrno } from "../kernel-error.ts";
import { SAMPLE } from "./sample.ts";
import type { NftSocket } from "./types.ts";

export interface NftContractCase {
  readonly name: string;
  readonly run: (nft: NftSocket) => void;
}

const table: TableId = { family: "inet", name: "t" };
const services: SetHeader = { name: "services", key: ["ipv4_addr", "inet_proto", "inet_service"], data: "verdict" };
const endpoints: SetHeader = { name: "endpoints", key: ["ipv4_addr", "inet_service"], data: ["ipv4_addr", "inet_service"] };
const addTable: Change = { op: "add table", table };
const addServices: Change = { op: "add set", table, set: services };
const addEndpoints: Change = { op: "add set", table, set: endpoints };
const addPick: Change = { op: "add chain", table, chain: "pick" };
const vip = parseAddr("10.96.0.0");

function service(n: number): Element {
  return { key: [addrPlus(vip, n), TCP, 80], data: gotoVerdict("pick"), comment: `default/service-${n}:http` };
}

function endpoint(n: number, port = 8080): Element {
  return { key: [addrPlus(vip, n), 80], data: [addrPlus(parseAddr("10.244.0.0"), n), port] };
}

function add(set: SetHeader, ...elements: readonly Element[]): Change {
  return { op: "add elements", table, set, elements };
}

function remove(set: SetHeader, ...elements: readonly Element[]): Change {
  return { op: "delete elements", table, set, elements };
}

const vmapRule: Change = {
  op: "add rule",
  table,
  chain: "dispatch",
  rule: {
    statements: [
      equals(meta("nfproto"), 2),
      { kind: "vmap", key: concat(payload("ip daddr"), meta("l4proto"), payload("th dport")), map: "services" },
    ],
  },
};

function byText(elements: readonly Element[]): readonly string[] {
  return elements.map((element) => inspect(element)).toSorted();
}

function setOf(nft: NftSocket, name: string): readonly Element[] {
  const elements = nft.list(table)?.sets.find((set) => set.name === name)?.elements ?? [];
  const header = name === "services" ? services : endpoints;
  // The order of a hash set changes when the kernel rehashes it, which it does at a time of its own.
  assert.deepEqual(byText(nft.elements(table, header)), byText(elements));
  return elements;
}

const refused =
  (errno: string, ...words: readonly (string | RegExp)[]) =>
  (err: unknown): boolean => {
    assert.ok(isErrno(err, errno), String(err));
    for (const word of words)
      assert.match(String(err), typeof word === "string" ? new RegExp(word.replaceAll(/[.*()[\]]/g, "\\$&")) : word);
    return true;
  };

export const NFT_CONTRACT: readonly NftContractCase[] = [
  {
    name: "a table with one of everything is listed as it was written",
    run(nft) {
      assert.equal(nft.list(SAMPLE), undefined);
      assert.equal(nft.chains(SAMPLE), undefined);
      nft.apply(diffTable(undefined, SAMPLE).changes);
      assert.deepEqual(diffTable(nft.list(SAMPLE), SAMPLE), { changes: [], cleanup: [] });
      assert.deepEqual(nft.chains(SAMPLE), nft.list(SAMPLE)?.chains);
      assert.deepEqual(
        nft.tables().map(({ name }) => name),
        ["sample"],
      );
    },
  },
  {
    name: "a refused transaction changes nothing and names the change",
    run(nft) {
      nft.apply([addTable, addServices, addPick]);
      const before = nft.generation();
      assert.throws(
        () => nft.apply([add(services, service(1)), { op: "delete chain", table, chain: "none" }]),
        refused("ENOENT", "delete chain inet t none"),
      );
      assert.deepEqual(setOf(nft, "services"), []);
      assert.equal(nft.generation(), before);
      nft.apply([add(services, service(1))]);
      assert.notEqual(nft.generation(), before);
    },
  },
  {
    name: "adding what is there: EEXIST for sets, chains and other data, nothing for tables and equal elements",
    run(nft) {
      nft.apply([addTable, addServices, addEndpoints, addPick, add(endpoints, endpoint(1))]);
      nft.apply([addTable]);
      nft.apply([add(endpoints, endpoint(1))]);
      assert.throws(() => nft.apply([addServices]), refused("EEXIST", "add map inet t services"));
      assert.throws(() => nft.apply([addPick]), refused("EEXIST", "add chain inet t pick"));
      assert.throws(
        () => nft.apply([add(endpoints, endpoint(2), endpoint(1, 9090), endpoint(3))]),
        refused("EEXIST", "add element { 10.96.0.1 . 80 : 10.244.0.1 . 9090 } to inet t endpoints"),
      );
      nft.apply([remove(endpoints, endpoint(1)), add(endpoints, endpoint(1, 9090))]);
      assert.deepEqual(
        setOf(nft, "endpoints").map(({ data }) => data),
        [endpoint(1, 9090).data],
      );
    },
  },
  {
    name: "what is not there: ENOENT",
    run(nft) {
      assert.throws(() => nft.apply([addServices]), refused("ENOENT", "add map inet t services"));
      nft.apply([addTable, addServices]);
      assert.throws(() => nft.apply([add(services, service(1))]), refused("ENOENT"));
      assert.throws(() => nft.apply([remove(services, service(1))]), refused("ENOENT", "from inet t services"));
      assert.throws(() => nft.apply([vmapRule]), refused("ENOENT"));
      assert.throws(() => nft.apply([{ op: "delete set", table, set: "none" }]), refused("ENOENT"));
      assert.throws(() => nft.apply([{ op: "flush chain", table, chain: "none" }]), refused("ENOENT"));
      nft.apply([{ op: "delete table", table }]);
      assert.equal(nft.list(table), undefined);
      assert.throws(() => nft.apply([{ op: "delete table", table }]), refused("ENOENT"));
    },
  },
  {
    name: "what is referred to: EBUSY",
    run(nft) {
      nft.apply([addTable, addServices, addPick, { op: "add chain", table, chain: "dispatch" }, vmapRule, add(services, service(1))]);
      assert.throws(() => nft.apply([{ op: "delete chain", table, chain: "pick" }]), refused("EBUSY", "delete chain inet t pick"));
      assert.throws(() => nft.apply([{ op: "delete set", table, set: "services" }]), refused("EBUSY"));
      nft.apply([
        { op: "flush chain", table, chain: "dispatch" },
        { op: "delete set", table, set: "services" },
      ]);
      nft.apply([{ op: "delete chain", table, chain: "pick" }]);
      assert.deepEqual(
        nft.list(table)?.chains.map(({ name }) => name),
        ["dispatch"],
      );
    },
  },
  {
    name: "a set may be replaced, and the rules that use it with it, in one transaction",
    run(nft) {
      nft.apply([addTable, addServices, addPick, { op: "add chain", table, chain: "dispatch" }, vmapRule, add(services, service(1))]);
      const current = nft.list(table);
      assert.ok(current);
      const sets = [{ ...services, flags: ["timeout"] as const, elements: [service(2)] }];
      const desired = { ...current, sets };
      const { changes, cleanup } = diffTable(current, desired);
      nft.apply([...changes, ...cleanup]);
      assert.deepEqual(diffTable(nft.list(table), desired).changes, []);
    },
  },
  {
    name: "sets are listed whole while the kernel rehashes them",
    run(nft) {
      for (let count = 8_000; count < 24_000; count += 3_200) {
        const elements = Array.from({ length: count }, (_, i) => service(i));
        nft.apply([addTable, addServices, addPick]);
        nft.applyAll(elements.map((element) => [add(services, element)]));
        for (let reading = 0; reading < 2; reading++) {
          assert.equal(new Set(nft.elements(table, services).map(({ comment }) => comment)).size, count);
        }
        nft.apply([{ op: "delete table", table }]);
      }
    },
  },
  {
    name: "the elements of one set, taken one by one",
    run(nft) {
      nft.apply([addTable, addServices, addEndpoints, addPick, add(services, service(1)), add(endpoints, endpoint(1), endpoint(2))]);
      const taken: Element[] = [];
      const found = nft.list(table, ({ name }) => (name === "endpoints" ? (element) => taken.push(element) : undefined));
      assert.deepEqual(byText(taken), byText([endpoint(1), endpoint(2)]));
      assert.deepEqual(
        found?.sets.map(({ name, elements }) => `${name} ${elements.length}`),
        ["services 1", "endpoints 0"],
      );
    },
  },
  {
    name: "one's own transactions are nobody else's, whether they change something or not",
    run(nft) {
      const before = nft.generationOfOthers();
      nft.apply([addTable, addServices, addPick]);
      nft.apply([addTable]);
      assert.throws(() => nft.apply([addPick]));
      nft.applyAll([[add(services, service(1))], [add(services, service(1))], [add(services, service(2))]]);
      assert.equal(nft.generationOfOthers(), before);
    },
  },
  {
    name: "10,000 elements go in one transaction, in several where they must",
    run(nft) {
      const elements = Array.from({ length: 10_000 }, (_, i) => service(i));
      nft.apply([addTable, addServices, addPick]);
      const groups = elements.map((element) => [add(services, element)]);
      const before = nft.generation();
      assert.ok(nft.applyAll(groups) >= 1);
      assert.notEqual(nft.generation(), before);
      const listed = setOf(nft, "services");
      assert.equal(listed.length, elements.length);
      assert.equal(new Set(listed.map(({ comment }) => comment)).size, elements.length);
      assert.throws(
        () =>
          nft.apply([
            { op: "add elements", table, set: services, elements: [...elements, { key: [vip, TCP, 81], data: gotoVerdict("none") }] },
          ]),
        nft.maxBatchBytes < 1 << 20 ? refused("EMSGSIZE") : refused("ENOENT", "10.96.0.0 . tcp . 81 : goto none"),
      );
    },
  },
];
