import assert from "node:assert/strict";
import { test } from "node:test";
import { BUILTIN_IMAGES, commandLine, findBuiltinImage, parseImageReference, requireBuiltinImage } from "./images.ts";

test("references are taken apart", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  assert.deepEqual(parseImageReference("registry.k8s.io/e2e-test-images/agnhost:2.52"), {
    repository: "registry.k8s.io/e2e-test-images/agnhost",
    tag: "2.52",
    digest: undefined,
  });
  assert.deepEqual(parseImageReference(`localhost:5000/a/b-c@${digest}`), { repository: "localhost:5000/a/b-c", tag: undefined, digest });
  assert.equal(parseImageReference("docker.io/library/agnhost")?.repository, "agnhost");
  for (const bad of ["", "UPPER", "a:", "a b", "a@sha256:12", ":tag", "a//b", "-a"]) assert.equal(parseImageReference(bad), undefined, bad);
});

test("built-in images go by several names, with any tag", () => {
  const table: readonly [string, string | undefined][] = [
    ["agnhost", "agnhost"],
    ["fairlead/agnhost:dev", "agnhost"],
    ["docker.io/fairlead/agnhost", "agnhost"],
    ["registry.k8s.io/e2e-test-images/agnhost:2.40", "agnhost"],
    ["registry.k8s.io/pause:3.10", "pause"],
    ["fairlead/toolbox", "toolbox"],
    ["fairlead/dns", "dns"],
    ["nginx", undefined],
  ];
  for (const [text, name] of table) assert.equal(findBuiltinImage(text)?.name, name, text);
});

test("any other image is an error that says what there is", () => {
  assert.throws(() => requireBuiltinImage("nginx:1.27"), {
    code: "ErrImagePull",
    message: /^image "nginx:1\.27" is not built in.*fairlead\/agnhost, fairlead\/toolbox.*containerd/,
  });
  assert.throws(() => requireBuiltinImage("no such"), { code: "InvalidImageName" });
});

test("command and args replace what the image brings", () => {
  const [agnhost] = BUILTIN_IMAGES;
  assert.ok(agnhost);
  assert.deepEqual(commandLine(agnhost, [], []), ["/agnhost", "pause"]);
  assert.deepEqual(commandLine(agnhost, [], ["netexec"]), ["/agnhost", "netexec"]);
  assert.deepEqual(commandLine(agnhost, ["sh"], []), ["sh"]);
  assert.deepEqual(commandLine(agnhost, ["sh"], ["-c", "x"]), ["sh", "-c", "x"]);
});
