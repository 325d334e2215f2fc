// Compares the imports of the source with the table of rooms in ARCHITECTURE.md.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

const root: string = new URL("..", import.meta.url).pathname;

interface Room {
  readonly name: string;
  readonly dir: string;
  readonly mayEnter: readonly string[];
}

const ROOMS: readonly Room[] = readTable(readFileSync(`${root}ARCHITECTURE.md`, "utf8"));

function readTable(markdown: string): Room[] {
  const rows = markdown.matchAll(/^\| `([a-z]+)` \| `(src\/[a-z/]+)` \| [^|]* \| ?([^|]*)\|$/gm);
  return Array.from(rows, ([, name = "", dir = "", enter = ""]) => ({ name, dir, mayEnter: enter.trim().split(/\s+/).filter(Boolean) }));
}

/** Why a room may not be entered, or undefined where it may. */
function refusal(from: Room | undefined, specifier: string, file: string): string | undefined {
  if (specifier.startsWith("#")) {
    const target = specifier.slice(1).split("/")[0] ?? "";
    if (!ROOMS.some((room) => room.name === target)) return `there is no room "${target}" in ARCHITECTURE.md`;
    if (from === undefined || from.name === target || from.mayEnter.includes(target)) return undefined;
    return `ARCHITECTURE.md does not let ${from.name} enter ${target}`;
  }
  if (!specifier.startsWith(".")) return undefined;
  const target = join(dirname(file), specifier);
  const room = ROOMS.find(({ dir }) => target.startsWith(`${dir}/`));
  if (room === undefined || room === from) return undefined;
  return `a path into ${room.name}; use #${room.name}`;
}

function roomOf(file: string): Room | undefined {
  return ROOMS.find(({ dir }) => file.startsWith(`${dir}/`));
}

const SOURCES: readonly string[] = globSync("src/**/*.ts", { cwd: root });

/** Tests, and what is only for them, may stand a room beside a fake or a real one of another. */
function isTest(file: string): boolean {
  return /\.(test|prop|netns|kernel|e2e)\.ts$|\/testing\//.test(file);
}

function specifiersOf(file: string): string[] {
  const text = readFileSync(`${root}${file}`, "utf8");
  const imports = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\s[^;"']*?from\s*"([^"]+)"|import\(\s*"([^"]+)"\s*\)|(?:^|\n)import\s*"([^"]+)"/g,
  );
  return Array.from(imports, (match) => match[1] ?? match[2] ?? match[3] ?? "");
}

test("every room of the table is there, and every door of package.json is a room", () => {
  assert.ok(ROOMS.length >= 15, `only ${ROOMS.length} rooms read from ARCHITECTURE.md`);
  const doors = Object.entries((JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { imports: Record<string, string> }).imports);
  for (const [door, path] of doors) {
    const room = ROOMS.find(({ name }) => name === door.slice(1).split("/")[0]);
    assert.ok(room !== undefined, `${door} is not in ARCHITECTURE.md`);
    assert.ok(path.startsWith(`./${room.dir}/`), `${door} leads to ${path}, outside of ${room.dir}`);
  }
  for (const { name, dir } of ROOMS) assert.ok(SOURCES.includes(`${dir}/index.ts`), `room ${name} has no door ${dir}/index.ts`);
});

test("rooms enter only the rooms that ARCHITECTURE.md lets them", () => {
  const refused: string[] = [];
  for (const file of SOURCES) {
    const room = roomOf(file);
    if (room === undefined && !file.startsWith("src/app/") && !file.endsWith(".d.ts")) refused.push(`${file}: lies in no room`);
    if (isTest(file)) continue;
    for (const specifier of specifiersOf(file)) {
      const why = refusal(room, specifier, file);
      if (why !== undefined) refused.push(`${file}: ${specifier}: ${why}`);
    }
  }
  assert.deepEqual(refused, []);
});

test("core has no runtime dependency and no Node module", () => {
  const foreign = SOURCES.filter((file) => file.startsWith("src/core/") && !isTest(file)).flatMap((file) =>
    specifiersOf(file)
      .filter((specifier) => !specifier.startsWith("#") && !specifier.startsWith(".") && !specifier.startsWith("kubernetes-types/"))
      .map((specifier) => `${file}: ${specifier}`),
  );
  assert.deepEqual(foreign, []);
});
