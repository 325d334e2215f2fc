import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr, parsePrefix } from "#ip";
import { TCP } from "#nft";
import { formatRule } from "./rules.ts";

test("a rule as iptables-save prints it", () => {
  assert.equal(
    formatRule({
      src: parsePrefix("10.1.2.3/16"),
      dst: parsePrefix("10.96.0.1/32"),
      protocol: TCP,
      comment: "default/web:http",
      dport: { from: 80, to: 80 },
      target: { kind: "dnat", addr: parseAddr("10.244.1.2"), port: 8080 },
    }),
    '-s 10.1.0.0/16 -d 10.96.0.1/32 -p tcp -m comment --comment "default/web:http" -m tcp --dport 80 -j DNAT --to-destination 10.244.1.2:8080',
  );
  assert.equal(
    formatRule({
      src: parsePrefix("::/0"),
      protocol: 132,
      dport: { from: 1, to: 9 },
      recent: { name: "x", family: 6 },
      target: { kind: "dnat", addr: parseAddr("fd00::1"), port: 1 },
    }),
    "-p sctp -m sctp --dport 1:9 -m recent --set --name x --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource -j DNAT --to-destination [fd00::1]:1",
  );
});

test("a comment says nothing but itself", () => {
  const comment = (text: string): string => formatRule({ comment: text, target: { kind: "drop" } });
  assert.equal(comment("plain-word"), "-m comment --comment plain-word -j DROP");
  assert.equal(comment("a \"b\" \\ 'c'\n-A X ü"), '-m comment --comment "a _b_ _ _c__-A X _" -j DROP');
  assert.equal(comment("x".repeat(300)), `-m comment --comment ${"x".repeat(255)} -j DROP`);
});

test("probabilities: each backend has its part to the kernel's 31 bits, and what is printed is read as the same", () => {
  for (let n = 2; n <= 1000; n++) {
    const text = formatRule({ probability: 1 / n, target: { kind: "return" } });
    const printed = Number(/--probability (\S+)/.exec(text)?.[1]);
    const kernel = Math.round(2 ** 31 / n);
    assert.equal(Math.round(printed * 2 ** 31), kernel);
    assert.equal((kernel / 2 ** 31).toFixed(11), printed.toFixed(11));
  }
});
