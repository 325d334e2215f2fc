// Kubeconfigs as people have them: in YAML, with the files that they name beside them.
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname } from "node:path";
import { parse } from "yaml";
import { errorMessage, InputError } from "#base";
import { type ClientConfig, inClusterConfig, loadKubeconfig } from "#client";

/** Absent: the service account of the pod that this runs in. Throws InputError where neither is there. */
export function readClientConfig(path: string | undefined): ClientConfig {
  if (path !== undefined) return readYamlKubeconfig(path);
  if ((process.env["KUBERNETES_SERVICE_HOST"] ?? "") !== "") return inClusterConfig();
  throw new InputError(
    "--kubeconfig",
    "is missing, and this is no pod with a service account; name the file that says where the API server is",
  );
}

/** What kubectl would use: the file, $KUBECONFIG or ~/.kube/config, and its current context unless one is named. Throws InputError. */
export function readContextConfig(path: string | undefined, context: string | undefined): ClientConfig {
  const [first] = (process.env["KUBECONFIG"] ?? "").split(":").filter(Boolean);
  return readYamlKubeconfig(path ?? first ?? `${homedir()}/.kube/config`, context);
}

function readYamlKubeconfig(path: string, context?: string): ClientConfig {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (err) {
    throw new InputError("--kubeconfig", `${path} cannot be read: ${errorMessage(err)}`);
  }
  let value: unknown;
  try {
    value = parse(text);
  } catch (err) {
    throw new InputError("--kubeconfig", `${path} is not YAML: ${errorMessage(err)}`);
  }
  try {
    const chosen = context === undefined ? value : { ...(value as object), "current-context": context };
    return loadKubeconfig(JSON.stringify(chosen), dirname(path));
  } catch (err) {
    throw new InputError("--kubeconfig", `${path}: ${errorMessage(err)}`);
  }
}
