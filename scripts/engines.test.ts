// What users install must run, and install without a warning, with the oldest Node that package.json promises to do with.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

interface Locked {
  readonly dev?: boolean;
  readonly engines?: { readonly node?: string };
}

const root: string = new URL("..", import.meta.url).pathname;
const read = (file: string): unknown => JSON.parse(readFileSync(`${root}${file}`, "utf8"));

/** The major version that a range such as `>=20.1` begins with; undefined for other forms. */
function leastMajor(range: string): number | undefined {
  const [, major] = /^>=\s*(\d+)(\.\d+|\.x)*$/.exec(range) ?? [];
  return major === undefined ? undefined : Number(major);
}

test("no package that users install wants a newer Node than package.json says", () => {
  const { engines } = read("package.json") as { engines: { node: string } };
  const floor = leastMajor(engines.node);
  assert.ok(floor !== undefined, engines.node);
  const { packages } = read("package-lock.json") as { packages: Readonly<Record<string, Locked>> };
  const tooNew = Object.entries(packages).filter(([name, { dev, engines: own }]) => {
    if (name === "" || dev === true || own?.node === undefined) return false;
    const least = leastMajor(own.node);
    return least === undefined || least > floor;
  });
  assert.deepEqual(
    tooNew.map(([name, { engines: own }]) => `${name} wants ${own?.node}`),
    [],
  );
});
