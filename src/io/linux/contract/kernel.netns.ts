import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { netns, openRoute } from "../index.ts";
import { networkContract } from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "fairlead-netns-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let paths = 0;

networkContract({ netns, openRoute, freePath: () => join(folder, `ns-${++paths}`) });
