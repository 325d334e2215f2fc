import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPABILITIES } from "#linux";
import { containerCapabilities, containerEnv, containerUser, DEFAULT_CAPABILITIES, parseIdMap } from "./identity.ts";

test("capabilities are the default set, with what is added and without what is dropped", () => {
  assert.equal(CAPABILITIES.length, 41);
  assert.deepEqual(new Set(containerCapabilities(undefined)), new Set(DEFAULT_CAPABILITIES));
  assert.deepEqual(containerCapabilities({ privileged: true }), CAPABILITIES);
  assert.deepEqual(containerCapabilities({ capabilities: { add: ["NET_BIND_SERVICE"], drop: ["ALL"] } }), ["CAP_NET_BIND_SERVICE"]);
  assert.ok(containerCapabilities({ capabilities: { add: ["net_admin"], drop: [] } }).includes("CAP_NET_ADMIN"));
  assert.ok(!containerCapabilities({ capabilities: { add: [], drop: ["CAP_NET_RAW"] } }).includes("CAP_NET_RAW"));
  assert.equal(containerCapabilities({ capabilities: { add: ["ALL"], drop: ["MKNOD"] } }).length, 40);
  assert.throws(() => containerCapabilities({ capabilities: { add: ["FLY"], drop: [] } }), {
    code: "CreateContainerConfigError",
    message: /"FLY"/,
  });
});

test("a user that the namespace does not have is refused with what to do", () => {
  const root = { uids: parseIdMap("         0          0 4294967295\n"), gids: parseIdMap("0 0 4294967295") };
  const rootless = { uids: parseIdMap("0 1000 1"), gids: parseIdMap("0 1000 1") };
  assert.deepEqual(containerUser({ runAsUser: 1000, runAsGroup: 3000, supplementalGroups: [2000] }, root), {
    uid: 1000,
    gid: 3000,
    groups: [2000],
  });
  assert.deepEqual(containerUser({ supplementalGroups: [2000] }, rootless), { uid: 0, gid: 0, groups: [] });
  assert.throws(() => containerUser({ runAsUser: 1000 }, rootless), {
    code: "CreateContainerConfigError",
    message: /^securityContext.runAsUser is 1000, but .* start the cluster as root\.$/,
  });
});

test("the environment has what programs expect, and the container's own wins", () => {
  const config = {
    metadata: { name: "c", attempt: 0 },
    image: "agnhost",
    command: [],
    args: [],
    envs: [
      { key: "HOME", value: "/data" },
      { key: "A", value: "1" },
    ],
    mounts: [],
    logPath: "",
    labels: {},
    annotations: {},
  };
  assert.deepEqual(containerEnv(config, "web-0", true), {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOSTNAME: "web-0",
    HOME: "/data",
    TERM: "xterm",
    A: "1",
  });
});
