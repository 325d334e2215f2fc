import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, test } from "node:test";
import { isErrno, KernelError, netns, openRoute } from "../index.ts";
import { readName } from "../route/links.ts";
import { NETLINK_ROUTE, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL } from "../uapi/netlink.ts";
import { RTM_GETLINK, RTM_NEWLINK, RTNLGRP_LINK } from "../uapi/rtnetlink.ts";
import { MessageWriter, NetlinkSocket } from "./index.ts";

const ns = netns.createAnonymous();
const route = openRoute(ns);
const netlink = new NetlinkSocket(NETLINK_ROUTE, { ns });
after(() => {
  netlink.close();
  route.close();
  ns.close();
});

function linkMessage(type: number, flags: number, fill?: (w: MessageWriter) => void): MessageWriter {
  const w = new MessageWriter();
  w.begin(type, flags);
  w.putBytes(new Uint8Array(16));
  fill?.(w);
  w.end();
  return w;
}

const dumpLinks = (): MessageWriter => linkMessage(RTM_GETLINK, NLM_F_DUMP);

test("a refusal carries the kernel's words and the place of the fault", () => {
  const w = linkMessage(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, (m) => m.string(3, "x".repeat(40)));
  assert.throws(
    () => netlink.request(w, "add a link"),
    (err) => {
      assert.ok(err instanceof KernelError);
      assert.equal(err.message, "Cannot add a link: Attribute failed policy validation (ERANGE)");
      assert.deepEqual([err.errno, err.detail, err.offset, err.op], [34, "Attribute failed policy validation", 32, "add a link"]);
      return true;
    },
  );
});

test("several messages in one send: each refusal has its number, the others are done", () => {
  const w = new MessageWriter();
  const seqs = ["b0", "b0", "b1"].map((name) => {
    const seq = w.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    w.putBytes(new Uint8Array(16))
      .string(3, name)
      .nest(18, () => w.string(1, "bridge"));
    w.end();
    return seq;
  });
  const { refused, replies, overrun } = netlink.send(w);
  assert.deepEqual(
    refused.map((r) => [r.seq, r.errno]),
    [[seqs[1], 17]],
  );
  assert.deepEqual([replies.length, overrun], [0, false]);
  assert.ok(route.links.get("b0") && route.links.get("b1"));
});

test("more than one send takes is refused before it is tried", () => {
  using small = new NetlinkSocket(NETLINK_ROUTE, { ns, bufferBytes: 8192 });
  const w = linkMessage(RTM_NEWLINK, 0, (m) => m.attrBytes(3, new Uint8Array(60_000)));
  assert.throws(
    () => small.send(w),
    /Cannot send 1 netlink messages: .* bytes are more than the .* that one send takes here .*\(EMSGSIZE\)/,
  );
});

test("a dump that was disturbed by a change is read again", () => {
  for (let i = 0; i < 60; i++) route.links.add({ name: `p${i}`, type: { kind: "bridge" } });
  let disturbed = 0;
  const names = netlink.dump(
    dumpLinks(),
    (message) => {
      const [, name] = readName(message);
      // Between two parts of the dump the list changes, once.
      if (name === "p5" && disturbed++ === 0) route.links.add({ name: "late", type: { kind: "bridge" } });
      return name;
    },
    "list links",
  );
  assert.equal(disturbed, 2, "it was read twice");
  assert.equal(new Set(names).size, names.length, "nothing twice");
  assert.ok(names.includes("late") && names.includes("p59"));
});

test("a reader that fails does not spoil the socket", () => {
  assert.throws(() => netlink.dump(dumpLinks(), () => assert.fail("decoder"), "list links"), /decoder/);
  assert.ok(netlink.dump(dumpLinks(), readName, "list links").length > 60);
});

test("events that did not fit are told as lost", () => {
  using events = new NetlinkSocket(NETLINK_ROUTE, { ns, bufferBytes: 4608 });
  events.join(RTNLGRP_LINK);
  let seen = 0;
  assert.equal(
    events.receive(() => seen++),
    false,
  );
  for (let i = 0; i < 30; i++) route.links.change("b0", { mtu: 1000 + i });
  assert.equal(
    events.receive(() => seen++),
    true,
  );
  assert.ok(seen < 30, `${seen}`);
  route.links.change("b0", { mtu: 900 });
  assert.equal(
    events.receive(() => seen++),
    false,
  );
});

test("a closed socket is closed, and closing twice is nothing", () => {
  const own = new NetlinkSocket(NETLINK_ROUTE, { ns });
  own.close();
  own.close();
  for (const use of [() => own.send(dumpLinks()), () => own.receive(() => {})]) assert.throws(use, (err) => isErrno(err, "EBADF"));
});

test("a watch keeps the process alive until it is closed, and costs nothing while nothing happens", () => {
  const program = `
    import { netns, openRoute } from ${JSON.stringify(import.meta.resolve("../index.ts"))};
    const route = openRoute(netns.createAnonymous());
    const watch = route.watch((event) => {
      const before = process.cpuUsage();
      setTimeout(() => {
        const { user, system } = process.cpuUsage(before);
        console.log(event.object, user + system < 100_000);
        watch.close();
      }, 300);
    }, ["link"]);
    route.links.add({ name: "b", type: { kind: "bridge" } });
  `;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 5000,
  });
  assert.deepEqual([stdout.trim(), status], ["link true", 0], stderr);
});
