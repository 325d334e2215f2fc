// The commands' way to the API of a running cluster.
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { FairleadError } from "#base";
import { type ClientConfig, createHttpClient, type HttpClient, loadKubeconfig } from "#client";
import { type KubeObject, type ObjectKey, RESOURCES, type Resource, resourcePath } from "#kube";
import { clusterPaths } from "#sandbox";
import { runningCluster } from "./home.ts";

/** Straight to the API server's socket: the port on the host's loopback may be published a moment later. */
export function clientConfig(name: string): ClientConfig {
  const paths = clusterPaths(runningCluster(name).home);
  const config = loadKubeconfig(JSON.stringify(parse(readFileSync(paths.kubeconfig, "utf8"))));
  return { ...config, socketPath: paths.apiSocket, userAgent: "fairlead" };
}

export function openClient(name: string): HttpClient {
  return createHttpClient(clientConfig(name));
}

/** A resource by any of its names: `pods`, `pod`, `po`, `Pod`, `deployments.apps`. */
function findResource(text: string): Resource {
  const [wanted = "", ...group] = text.toLowerCase().split(".");
  const found = RESOURCES.find(
    (r) =>
      (r.plural === wanted || r.singular === wanted || r.kind.toLowerCase() === wanted || r.shortNames.includes(wanted)) &&
      (group.length === 0 || r.group === group.join(".")),
  );
  if (found !== undefined) return found;
  const names = RESOURCES.map((r) => r.plural).join(", ");
  throw new FairleadError(`there is no resource "${text}"; there are: ${names}`, { code: "NoSuchResource" });
}

/** The resources that `text` names: one, several (`pods,services`) or a category (`all`). */
export function findResources(text: string): Resource[] {
  const category = RESOURCES.filter((r) => r.categories.includes(text));
  return category.length > 0 ? category : text.split(",").map((part) => findResource(part));
}

export function resourceOf(object: KubeObject): Resource {
  const found = RESOURCES.find(
    (r) => r.kind === object.kind && (r.group === "" ? r.version : `${r.group}/${r.version}`) === object.apiVersion,
  );
  if (found !== undefined) return found;
  throw new FairleadError(`no resource serves kind "${object.kind ?? ""}" of apiVersion "${object.apiVersion ?? ""}"`, {
    code: "NoSuchKind",
  });
}

export interface Target {
  readonly resource: Resource;
  readonly key: ObjectKey;
}

/** `pod web`, `pod/web`, `deploy a b`, `deploy/a svc/b`: what kubectl accepts as arguments. */
export function parseTargets(args: readonly string[], namespace: string): Target[] {
  const [first = "", ...names] = args;
  const target = (resource: Resource, name: string): Target => ({
    resource,
    key: resource.namespaced ? { namespace, name } : { name },
  });
  if (first.includes("/")) {
    return args.map((arg) => {
      const [kind = "", name = ""] = arg.split("/");
      return target(findResource(kind), name);
    });
  }
  return findResources(first).flatMap((resource) => names.map((name) => target(resource, name)));
}

/** The path of an object or, without a name, of its collection; all namespaces where `namespace` is absent. */
export function pathOf(resource: Resource, namespace: string | undefined, name?: string): string {
  return resourcePath(resource, { namespace, ...(name === undefined ? {} : { name }) });
}
