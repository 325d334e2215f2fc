// Where the API server is and who we are to it. Kubeconfigs are read in their JSON form: a YAML parser costs every process 3 MiB.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { errorMessage, FairleadError, InputError } from "#base";

export interface ClientConfig {
  /** `https://172.18.0.1:6443`; its path, when there is one, is put before every request's. */
  readonly server: string;
  /** Connect to this Unix socket instead of the server's address; the protocol stays the one of `server`. */
  readonly socketPath?: string | undefined;
  /** PEM. Absent: the authorities that Node knows. */
  readonly ca?: string | undefined;
  /** PEM of a client certificate and its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly token?: string | undefined;
  /** Where `token` was read: it is read again each minute, since tokens of service accounts are replaced before they expire. */
  readonly tokenFile?: string | undefined;
  /** The name to expect in the server's certificate, when it is not the host of `server`. */
  readonly tlsServerName?: string | undefined;
  readonly insecureSkipTlsVerify?: boolean | undefined;
  /** The namespace of the kubeconfig's current context. */
  readonly namespace?: string | undefined;
  readonly userAgent?: string | undefined;
  /** How long an answer may take, in milliseconds (30,000 unless told). Watches and streams have no limit. */
  readonly timeoutMs?: number | undefined;
  /** Repeat reads for this long while the connection is refused (0 unless told): for a program that starts beside its API server. */
  readonly retryRefusedMs?: number | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a kubeconfig in JSON form: server, CA and credentials (token, client certificate; inline or as files) of the current context.
 * Relative file names start from `baseDir`. Throws InputError with the path of the wrong field.
 */
export function loadKubeconfig(jsonText: string, baseDir: string = "."): ClientConfig {
  let root: unknown;
  try {
    root = JSON.parse(jsonText);
  } catch (err) {
    throw new InputError("kubeconfig", `is not JSON (${errorMessage(err)}); convert it with: kubectl config view --raw -o json`);
  }
  const config = objectAt(root, "kubeconfig");
  const contextName = config["current-context"];
  if (typeof contextName !== "string" || contextName === "") throw new InputError("current-context", "is missing");
  const context = named(config, "contexts", contextName, "context");
  const cluster = named(config, "clusters", textAt(context, "cluster", `contexts["${contextName}"].context`), "cluster");
  const userName = optionalText(context, "user");
  const user = userName === undefined ? {} : named(config, "users", userName, "user");
  return {
    server: textAt(cluster, "server", "cluster"),
    ca: data(cluster, "certificate-authority", baseDir),
    cert: data(user, "client-certificate", baseDir),
    key: data(user, "client-key", baseDir),
    ...token(user, baseDir),
    tlsServerName: optionalText(cluster, "tls-server-name"),
    insecureSkipTlsVerify: cluster["insecure-skip-tls-verify"] === true,
    namespace: optionalText(context, "namespace"),
  };
}

/** `loadKubeconfig` of a file. */
export function readKubeconfig(path: string): ClientConfig {
  return loadKubeconfig(readText(path, "kubeconfig"), dirname(path));
}

const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

/** What a program inside a pod uses: KUBERNETES_SERVICE_HOST/PORT and the mounted service account (client-go `rest.InClusterConfig`). */
export function inClusterConfig(env: Readonly<Record<string, string | undefined>> = process.env): ClientConfig {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"];
  if (host === undefined || host === "" || port === undefined || port === "") {
    throw new FairleadError(
      "Cannot find the API server from inside the cluster: KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set; give --kubeconfig",
      { code: "NotInCluster", op: "read in-cluster configuration" },
    );
  }
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca: readText(`${SERVICE_ACCOUNT_DIR}/ca.crt`, "cluster CA"),
    token: readText(`${SERVICE_ACCOUNT_DIR}/token`, "service account token").trim(),
    tokenFile: `${SERVICE_ACCOUNT_DIR}/token`,
    namespace: readText(`${SERVICE_ACCOUNT_DIR}/namespace`, "namespace").trim(),
  };
}

function objectAt(value: unknown, field: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new InputError(field, "is not an object");
  // Checked above: an object that is not an array has string keys.
  return value as Json;
}

function named(config: Json, list: string, name: string, member: string): Json {
  const entries = config[list];
  if (!Array.isArray(entries)) throw new InputError(list, "is missing");
  for (const entry of entries) {
    const item = objectAt(entry, list);
    if (item["name"] === name) return objectAt(item[member], `${list}["${name}"].${member}`);
  }
  throw new InputError(list, `has no entry named "${name}"`);
}

function optionalText(object: Json, field: string): string | undefined {
  const value = object[field];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function textAt(object: Json, field: string, where: string): string {
  const value = optionalText(object, field);
  if (value === undefined) throw new InputError(`${where}.${field}`, "is missing");
  return value;
}

function data(object: Json, field: string, baseDir: string): string | undefined {
  const inline = optionalText(object, `${field}-data`);
  if (inline !== undefined) return Buffer.from(inline, "base64").toString("utf8");
  const file = optionalText(object, field);
  return file === undefined ? undefined : readText(resolve(baseDir, file), field);
}

function token(user: Json, baseDir: string): Pick<ClientConfig, "token" | "tokenFile"> {
  for (const field of ["exec", "auth-provider"]) {
    if (user[field] === undefined) continue;
    throw new InputError(
      `user.${field}`,
      "is a program that makes credentials, which is not supported; use a token or a client certificate",
    );
  }
  const inline = optionalText(user, "token");
  if (inline !== undefined) return { token: inline };
  const file = optionalText(user, "tokenFile");
  if (file === undefined) return {};
  const tokenFile = resolve(baseDir, file);
  return { token: readText(tokenFile, "tokenFile").trim(), tokenFile };
}

function readText(path: string, what: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (err) {
    throw new FairleadError(`Cannot read the ${what} from ${path}: ${errorMessage(err)}`, {
      code: "UnreadableFile",
      op: `read ${what}`,
      facts: { path },
      cause: err,
    });
  }
}
