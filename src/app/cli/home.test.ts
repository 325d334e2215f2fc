import assert from "node:assert/strict";
import { homedir } from "node:os";
import { test } from "node:test";
import { fairleadHome } from "./home.ts";

const byDefault = `${homedir()}/.local/state/fairlead`;
const CASES: readonly { env: NodeJS.ProcessEnv; home: string }[] = [
  { env: {}, home: byDefault },
  { env: { FAIRLEAD_HOME: "", XDG_STATE_HOME: "" }, home: byDefault },
  { env: { XDG_STATE_HOME: "/state" }, home: "/state/fairlead" },
  { env: { FAIRLEAD_HOME: "/clusters/", XDG_STATE_HOME: "/state" }, home: "/clusters" },
  { env: { FAIRLEAD_HOME: "my clusters" }, home: `${process.cwd()}/my clusters` },
];

for (const { env, home } of CASES) {
  test(`the home with ${JSON.stringify(env)}`, () => assert.equal(fairleadHome(env), home));
}
