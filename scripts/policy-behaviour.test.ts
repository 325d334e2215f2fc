// docs/policy-behaviour.md: every case is there, in order, and says either which test shows it or that it is a choice; and there is such a test.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";

const ROOT: URL = new URL("../", import.meta.url);
const CASES = 80;

interface Case {
  readonly number: number;
  readonly text: string;
  readonly tests: readonly { readonly file: string; readonly name: string }[];
}

function casesOf(document: string): Case[] {
  return document.split("\n").flatMap((line) => {
    const [, number, text = ""] = /^(\d+)\. (.*)$/.exec(line) ?? [];
    if (number === undefined) return [];
    const tests = [...text.matchAll(/`((?:src|matrix|conformance)\/[^`]+)` "((?:[^"])+)"/g)].map(([, file = "", name = ""]) => ({
      file,
      name,
    }));
    return [{ number: Number(number), text, tests }];
  });
}

suite("docs/policy-behaviour.md", () => {
  const cases = casesOf(readFileSync(new URL("docs/policy-behaviour.md", ROOT), "utf8"));

  test("has every case once, in order", () => {
    assert.deepEqual(
      cases.map(({ number }) => number),
      Array.from({ length: CASES }, (_, i) => i + 1),
    );
  });

  test("says of each which test shows it, or what was chosen", () => {
    const silent = cases.filter(({ text, tests }) => tests.length === 0 && !text.includes("**Our choice**"));
    assert.deepEqual(
      silent.map(({ number }) => number),
      [],
    );
  });

  for (const { number, tests } of cases) {
    for (const { file, name } of tests) {
      test(`${number}: ${file} has "${name}"`, () => {
        const url = new URL(file, ROOT);
        assert.ok(existsSync(url), `there is no ${file}`);
        assert.ok(readFileSync(url, "utf8").includes(name), `${file} has no "${name}"`);
      });
    }
  }
});
