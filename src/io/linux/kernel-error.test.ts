import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { errnoName, isErrno, KernelError } from "./kernel-error.ts";

test("the message says what was attempted and why it failed", () => {
  const err = new KernelError({ op: "add route 10.244.1.0/24 via 172.18.0.3", errno: 100, detail: 'link "eth0" is down' });
  assert.equal(err.message, 'Cannot add route 10.244.1.0/24 via 172.18.0.3: link "eth0" is down (ENETDOWN)');
  assert.equal(err.code, "ENETDOWN");
  assert.equal(new KernelError({ op: "x", errno: 1 }).message, "Cannot x: operation not permitted (EPERM)");
});

test("errno names are the kernel's, and unknown numbers are told", () => {
  assert.deepEqual([95, 11, 19, 524, 4000].map(errnoName), ["EOPNOTSUPP", "EAGAIN", "ENODEV", "ENOTSUPP", "E4000"]);
});

test("isErrno takes errors of Node too", () => {
  const refused = new KernelError({ op: "x", errno: 2 });
  assert.ok(isErrno(refused, "ENOENT") && isErrno(refused, "ESRCH", "ENOENT") && !isErrno(refused, "ESRCH"));
  assert.throws(
    () => readFileSync("/nix"),
    (err) => isErrno(err, "ENOENT"),
  );
  assert.ok(!isErrno(undefined, "ENOENT") && !isErrno(new Error("ENOENT"), "ENOENT"));
});
