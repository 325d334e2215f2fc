import { errorMessage } from "#base";
import { isErrno } from "../kernel-error.ts";
import { inNamespaces, type NamespaceKind } from "../process.ts";

/** Why the tests' process cannot leave its namespaces of these kinds, or undefined where it can. */
export function whyNotAway(kinds: readonly NamespaceKind[]): string | undefined {
  for (const kind of kinds) {
    try {
      inNamespaces({ unshare: [kind] }, () => undefined);
    } catch (err) {
      if (!isErrno(err, "EPERM")) throw err;
      return errorMessage(err);
    }
  }
  return undefined;
}
