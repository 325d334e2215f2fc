import { readFileSync } from "node:fs";

interface Package {
  readonly version: string;
}

/** From package.json, which lies above both `src/app/cli` and `dist`. */
export const VERSION: string = readVersion();

function readVersion(): string {
  for (let dir = import.meta.dirname; dir !== ""; dir = dir.slice(0, dir.lastIndexOf("/"))) {
    try {
      return (JSON.parse(readFileSync(`${dir}/package.json`, "utf8")) as Package).version;
    } catch {
      // Not in this folder.
    }
  }
  return "unknown";
}
