import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { ConfigMap, Secret, Volume } from "kubernetes-types/core/v1";
import { systemClock } from "#base";
import { createFakeClient } from "#client/fake";
import type { StoredPod } from "../pod-spec.ts";
import { writeAtomically } from "./atomic-files.ts";
import { PodVolumes } from "./index.ts";
import { TokenStore } from "./tokens.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/fairlead-volumes-`);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function pod(volumes: readonly Volume[]): StoredPod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default", uid: "u", resourceVersion: "1", creationTimestamp: "", labels: { a: "b" } },
    spec: { containers: [{ name: "c", resources: { limits: { memory: "64Mi" } } }], volumes: [...volumes] },
  };
}

const CONFIG: ConfigMap = { data: { "a.txt": "A", "b.txt": "B" }, binaryData: { bin: Buffer.from([0xff]).toString("base64") } };
const SECRET: Secret = { data: { pass: Buffer.from("pw").toString("base64") } };

function volumesOf(): PodVolumes {
  return new PodVolumes(`${dir}/pod`, new TokenStore(createFakeClient(), systemClock));
}

function prepare(volumes: PodVolumes, of: StoredPod): Promise<number> {
  return volumes.prepare(of, {
    configMap: (name) => (name === "cm" ? CONFIG : undefined),
    secret: (name) => (name === "s" ? SECRET : undefined),
    facts: { pod: of, podIps: [], hostIps: [], allocatable: {} },
  });
}

async function contents(volume: Volume): Promise<Record<string, string>> {
  const volumes = volumesOf();
  const of = pod([volume]);
  await prepare(volumes, of);
  const path = volumes.hostPath(of, { name: volume.name, mountPath: "/x" }, undefined);
  const read = (prefix: string): [string, string][] =>
    readdirSync(`${path}/${prefix}`)
      .filter((name) => !name.startsWith(".."))
      .flatMap((name) => {
        const file = `${prefix}${name}`;
        if (statSync(`${path}/${file}`).isDirectory()) return read(`${file}/`);
        const mode = (statSync(`${path}/${file}`).mode & 0o777).toString(8);
        return [[file, `${readFileSync(`${path}/${file}`, "latin1")} ${mode}`] as [string, string]];
      });
  return Object.fromEntries(read(""));
}

describe("volumes of objects", () => {
  test("ConfigMap and Secret", async () => {
    assert.deepEqual(await contents({ name: "v", configMap: { name: "cm" } }), { "a.txt": "A 644", "b.txt": "B 644", bin: "\xff 644" });
    assert.deepEqual(await contents({ name: "w", secret: { secretName: "s", defaultMode: 0o400 } }), { pass: "pw 400" });
    assert.deepEqual(await contents({ name: "o", configMap: { name: "none", optional: true } }), {});
  });

  test("chosen keys at chosen paths", async () => {
    const items = [
      { key: "a.txt", path: "deep/er/a", mode: 0o600 },
      { key: "none", path: "x" },
    ];
    assert.deepEqual(await contents({ name: "v", configMap: { name: "cm", items, optional: true } }), { "deep/er/a": "A 600" });
  });

  test("downward API and projected", async () => {
    const downwardAPI = {
      items: [
        { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
        { path: "mem", resourceFieldRef: { containerName: "c", resource: "limits.memory", divisor: "1Mi" } },
      ],
    };
    assert.deepEqual(await contents({ name: "v", downwardAPI }), { labels: 'a="b" 644', mem: "64 644" });
    const sources = [
      { serviceAccountToken: { path: "token" } },
      { configMap: { name: "cm", items: [{ key: "a.txt", path: "ca" }] } },
      { secret: { name: "s" } },
    ];
    assert.deepEqual(await contents({ name: "p", projected: { sources, defaultMode: 0o440 } }), {
      token: "token-of-default 440",
      ca: "A 440",
      pass: "pw 440",
    });
  });

  test("what is missing is told, with the volume's name", async () => {
    const table: readonly [Volume, RegExp][] = [
      [
        { name: "v", configMap: { name: "no" } },
        /^MountVolume.SetUp failed for volume "v" : configmap "no" not found in namespace "default"$/,
      ],
      [{ name: "v", secret: { secretName: "no" } }, /secret "no" not found/],
      [{ name: "v", configMap: { name: "cm", items: [{ key: "zz", path: "z" }] } }, /references non-existent config key: zz/],
      [{ name: "v", configMap: { name: "cm", items: [{ key: "a.txt", path: "../out" }] } }, /is not a path inside a volume/],
      [{ name: "v", persistentVolumeClaim: { claimName: "c" } }, /\(persistentVolumeClaim\) are not supported/],
    ];
    for (const [volume, message] of table) await assert.rejects(prepare(volumesOf(), pod([volume])), { code: "FailedMount", message });
  });
});

describe("files that change all at once", () => {
  const payload = (files: Record<string, string>) =>
    new Map(Object.entries(files).map(([path, text]) => [path, { bytes: Buffer.from(text), mode: 0o644 }]));

  test("are written once, replaced as a whole, and nothing old stays", () => {
    const target = `${dir}/v`;
    assert.equal(writeAtomically(target, payload({ a: "1", "d/b": "2" })), true);
    const first = readlinkSync(`${target}/..data`);
    assert.equal(readlinkSync(`${target}/a`), "..data/a");
    assert.equal(writeAtomically(target, payload({ a: "1", "d/b": "2" })), false);
    assert.equal(readlinkSync(`${target}/..data`), first);
    assert.equal(writeAtomically(target, payload({ a: "3", c: "4" })), true);
    assert.deepEqual(
      readdirSync(target).filter((name) => !/^\.\.\d/.test(name)),
      ["..data", "a", "c"],
    );
    assert.equal(readFileSync(`${target}/a`, "utf8"), "3");
    assert.ok(!existsSync(`${target}/${first}`));
    // A changed mode is a change.
    chmodSync(`${target}/..data/a`, 0o600);
    assert.equal(writeAtomically(target, payload({ a: "3", c: "4" })), true);
  });
});

describe("directories", () => {
  test("emptyDir is there until the pod is not", async () => {
    const volumes = volumesOf();
    const of = pod([{ name: "e", emptyDir: {} }]);
    await prepare(volumes, of);
    const path = volumes.hostPath(of, { name: "e", mountPath: "/e" }, undefined);
    assert.equal(statSync(path).mode & 0o7777, 0o777);
    writeFileSync(`${path}/kept`, "");
    await prepare(volumes, of);
    assert.ok(existsSync(`${path}/kept`));
    volumes.remove();
    assert.ok(!existsSync(`${dir}/pod`));
  });

  test("hostPath is checked by its type", async () => {
    const ask = (path: string, type?: string) =>
      prepare(volumesOf(), pod([{ name: "h", hostPath: { path, ...(type !== undefined && { type }) } }]));
    await assert.rejects(ask(`${dir}/none`, "Directory"), /is not a directory/);
    await ask(`${dir}/made`, "DirectoryOrCreate");
    await ask(`${dir}/file`, "FileOrCreate");
    await ask(`${dir}/any`);
    assert.ok(statSync(`${dir}/made`).isDirectory() && statSync(`${dir}/file`).isFile() && statSync(`${dir}/any`).isDirectory());
    await assert.rejects(ask(`${dir}/made`, "File"), /is not a file/);
    await assert.rejects(ask(`${dir}/file`, "Socket"), /is not a socket file/);
  });

  test("a subPath stays inside its volume", async () => {
    const volumes = volumesOf();
    const of = pod([
      { name: "e", emptyDir: {} },
      { name: "cm", configMap: { name: "cm" } },
    ]);
    await prepare(volumes, of);
    const at = (name: string, subPath: string): string => volumes.hostPath(of, { name, mountPath: "/x" }, subPath);
    assert.ok(statSync(at("e", "new/dir")).isDirectory());
    assert.match(at("cm", "a.txt"), /\/\.\.\d[^/]*\/a\.txt$/);
    assert.throws(() => at("e", "../.."), /is not inside its volume/);
    mkdirSync(`${dir}/outside`);
    symlinkSync(`${dir}/outside`, `${at("e", "new")}/link`);
    assert.throws(() => at("e", "new/link"), /leads out of its volume/);
    assert.throws(() => at("none", ""), /which the pod does not have/);
  });
});
