import assert from "node:assert/strict";
import { test } from "node:test";
import type { RootStep } from "./launch-spec.ts";
import { ETC_ENTRIES, planRootfs, type RootfsRequest } from "./rootfs.ts";

const REQUEST: RootfsRequest = {
  host: {
    entries: [{ path: "/usr" }, { path: "/bin", symlink: "usr/bin" }],
  },
  programs: { nodePath: "/home/u/it's/node", distDir: "/home/u/fairlead/dist" },
  namespaces: { network: "pod", pid: "container", ipc: "pod" },
  privileged: false,
  sandboxDir: "/state/sandboxes/s1",
  mounts: [],
};

function at(steps: readonly RootStep[], path: string): RootStep[] {
  return steps.filter((step) => step.path === path);
}

test("the node's system directories are bound read-only, links are made again", () => {
  const steps = planRootfs(REQUEST);
  assert.deepEqual(at(steps, "/usr"), [{ do: "bind", path: "/usr", source: "/usr", readonly: true, optional: true }]);
  assert.deepEqual(at(steps, "/bin"), [{ do: "symlink", path: "/bin", target: "usr/bin" }]);
  assert.deepEqual(at(steps, "/home/u/fairlead/dist"), [
    { do: "bind", path: "/home/u/fairlead/dist", source: "/home/u/fairlead/dist", readonly: true },
  ]);
  assert.deepEqual(at(steps, "/agnhost"), [
    {
      do: "file",
      path: "/agnhost",
      text: "#!/bin/sh\nexec '/home/u/it'\\''s/node' '/home/u/fairlead/dist/agnhost.js' \"$@\"\n",
      mode: 0o755,
    },
  ]);
  assert.ok(!ETC_ENTRIES.some((path) => /shadow|ssh|sudoers|private/.test(path)));
});

test("volumes come last, outer ones before what is inside them", () => {
  const mounts = [
    { containerPath: "/data/inner/deep", hostPath: "/v2", readonly: false },
    { containerPath: "/data", hostPath: "/v1", readonly: true },
  ];
  assert.deepEqual(planRootfs({ ...REQUEST, mounts }).slice(-2), [
    { do: "bind", path: "/data", source: "/v1", readonly: true },
    { do: "bind", path: "/data/inner/deep", source: "/v2", readonly: false },
  ]);
});

test("what concerns the machine is hidden, except from the privileged", () => {
  const masked = planRootfs(REQUEST);
  assert.deepEqual(at(masked, "/proc/kcore"), [{ do: "mask", path: "/proc/kcore" }]);
  assert.deepEqual(at(masked, "/proc/sys"), [{ do: "readonly", path: "/proc/sys" }]);
  const open = planRootfs({ ...REQUEST, privileged: true });
  assert.deepEqual([...at(open, "/proc/kcore"), ...at(open, "/proc/sys")], []);
  assert.deepEqual(at(open, "/dev"), [{ do: "bind", path: "/dev", source: "/dev", readonly: false }]);
});

test("with the node's processes their /proc is shown", () => {
  const steps = planRootfs({ ...REQUEST, namespaces: { network: "pod", pid: "node", ipc: "pod" } });
  assert.deepEqual(at(steps, "/proc"), [{ do: "bind", path: "/proc", source: "/proc", readonly: false }]);
});
