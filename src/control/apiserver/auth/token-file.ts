import { InputError } from "#base";
import type { User } from "../registry/types.ts";

/** Static tokens: lines of `token,user,uid,"group1,group2"` (kube-apiserver's --token-auth-file). */
export function parseTokenFile(text: string): Map<string, User> {
  const users = new Map<string, User>();
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const columns = splitCsv(line.trim());
    const [token, name, uid = "", groups = ""] = columns;
    if (token === undefined || token === "" || name === undefined || name === "") {
      throw new InputError(`token file, line ${i + 1}`, 'must be token,user,uid,"group1,group2"');
    }
    users.set(token, {
      name,
      uid,
      groups: groups
        .split(",")
        .map((group) => group.trim())
        .filter((group) => group !== ""),
    });
  }
  return users;
}

function splitCsv(line: string): string[] {
  const columns: string[] = [];
  for (const match of line.matchAll(/(?:^|,)(?:"(?<quoted>[^"]*)"|(?<plain>[^,]*))/g)) {
    columns.push((match.groups?.["quoted"] ?? match.groups?.["plain"] ?? "").trim());
  }
  return columns;
}
