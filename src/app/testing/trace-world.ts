// A small cluster in which things go wrong one after the other, and what a trace in it says. For tests.
import type { Pod } from "kubernetes-types/core/v1";
import { createInformer, type HttpClient, isNotFound } from "#client";
import { type KubeObject, NODES, PODS, RESOURCES, type Resource, SERVICES } from "#kube";
import { clusterPaths, sandboxObserver } from "#sandbox";
import { gatherReports, listObjects, nodeDoor, type ObserverDoor, type RawQuestion, serviceReport, type Trace, trace } from "#trace";
import { startTestCluster, type TestCluster } from "./cluster.ts";
import { namespaceOf } from "./loaded.ts";
import { untilReady } from "./watched.ts";

export const HTTP = 8080;

export interface TraceWorld extends AsyncDisposable {
  readonly cluster: TestCluster;
  /** `namespace/name` of a pod, and its addresses, IPv4 first. */
  addrs(pod: string): readonly string[];
  /** Resolves when the pod is Ready. */
  ready(pod: string): Promise<unknown>;
  apply(...objects: readonly KubeObject[]): Promise<void>;
  remove(...objects: readonly KubeObject[]): Promise<void>;
  /** What `TestCluster.inside` takes, for a node or `pod/NAME`. */
  path(where: string): Promise<string>;
  /** As a load balancer's controller does. */
  loadBalancerAt(service: string, ip: string): Promise<void>;
  /** A command in a node's namespace, or a pod's; throws where it fails. */
  run(where: string, file: string, ...args: string[]): Promise<string>;
  predict(question: RawQuestion): Promise<Trace>;
  trace(question: RawQuestion): Promise<Trace>;
}

export function pod(name: string, nodeName: string, more: { namespace?: string; ready?: boolean; spec?: object } = {}): KubeObject {
  const { namespace = "default", ready = true, spec } = more;
  const path = ready ? "/healthz" : "/nothing-here";
  const container = {
    name: "c",
    image: "agnhost",
    args: ["netexec", `--http-port=${HTTP}`, `--udp-port=${HTTP}`],
    ports: [
      { name: "http", containerPort: HTTP },
      { name: "dgram", containerPort: HTTP, protocol: "UDP" },
    ],
    readinessProbe: { httpGet: { path: ready ? path : "/shell", port: ready ? HTTP : 1 }, periodSeconds: 1, failureThreshold: 1 },
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name } },
    spec: { nodeName, terminationGracePeriodSeconds: 0, containers: [container], ...spec },
  } as KubeObject;
}

export function service(name: string, spec: object): KubeObject {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "default" }, spec } as KubeObject;
}

/** Of the pods `app: ON`. */
export function policy(on: string, spec: object): KubeObject {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: `p-${on}`, namespace: "default" },
    spec: { podSelector: { matchLabels: { app: on } }, ...spec },
  } as KubeObject;
}

/** Pods `web` and `client` (of namespace `shop`) on node-1, `db` on node-2, `lame` that is never ready. */
export async function startTraceWorld(): Promise<TraceWorld> {
  const cluster = await startTestCluster({ name: "trace", flags: ["--nodes", "2"] });
  const pods = createInformer<Pod>(cluster.client, PODS);
  const world: TraceWorld = {
    cluster,
    addrs: (key) => (pods.get(key)?.status?.podIPs ?? []).map(({ ip }) => ip ?? ""),
    ready: (key) => untilReady(pods, key),
    ...changing(cluster.client),
    ...acting(cluster),
    ...(await asking(cluster)),
    async [Symbol.asyncDispose]() {
      pods.stop();
      await cluster[Symbol.asyncDispose]();
    },
  };
  await world.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "shop", labels: { team: "shop" } } });
  const ports = [{ name: "http", port: 80, targetPort: "http" }];
  await world.apply(
    pod("web", "node-1"),
    pod("db", "node-2"),
    pod("client", "node-1", { namespace: "shop" }),
    pod("lame", "node-2", { ready: false }),
    service("db", { ipFamilyPolicy: "PreferDualStack", selector: { app: "db" }, ports }),
  );
  await Promise.all(["default/web", "default/db", "shop/client"].map((key) => untilReady(pods, key)));
  return world;
}

/** Without a process of kubectl's kind for each: there are many changes. */
function changing(client: HttpClient): Pick<TraceWorld, "apply" | "remove" | "loadBalancerAt"> {
  const resourceOf = ({ kind }: KubeObject): Resource => {
    const found = RESOURCES.find((resource) => resource.kind === kind);
    if (found === undefined) throw new Error(`no resource of kind ${kind}`);
    return found;
  };
  return {
    async apply(...objects) {
      for (const object of objects) await client.create(resourceOf(object), object);
    },
    async remove(...objects) {
      for (const object of objects) {
        const { namespace, name = "" } = object.metadata ?? {};
        await client.delete(resourceOf(object), { namespace, name }).catch((err: unknown) => {
          if (!isNotFound(err)) throw err;
        });
      }
    },
    async loadBalancerAt(name, ip) {
      const patch = { type: "merge", body: { status: { loadBalancer: { ingress: [{ ip }] } } } } as const;
      await client.patch(SERVICES, { namespace: "default", name }, patch, { subresource: "status" });
    },
  };
}

function acting(cluster: TestCluster): Pick<TraceWorld, "path" | "run"> {
  const paths = new Map<string, Promise<string>>();
  const path = (where: string): Promise<string> => {
    if (!where.startsWith("pod/")) return Promise.resolve(where);
    const known = paths.get(where) ?? namespaceOf(cluster, where.slice("pod/".length));
    paths.set(where, known);
    return known;
  };
  return {
    path,
    async run(where, file, ...args) {
      const { code, stdout, stderr } = await cluster.inside(await path(where), file, ...args);
      if (code !== 0) throw new Error(`${file} ${args.join(" ")} in ${where}: ${stderr}`);
      return stdout;
    },
  };
}

async function asking({ client, home }: TestCluster): Promise<Pick<TraceWorld, "predict" | "trace">> {
  const { items: nodes } = await client.list(NODES);
  const doors: readonly ObserverDoor[] = [
    ...nodes.map(({ metadata }) => nodeDoor(client, metadata.name)),
    sandboxObserver(clusterPaths(home).controlSocket),
  ];
  const ask = async (question: RawQuestion, probes: boolean): Promise<Trace> => {
    const [objects, { reports }] = await Promise.all([listObjects(client), gatherReports(doors)]);
    return trace(question, { objects, reports, doors, probes, serviceReport: (node, key) => serviceReport(client, node, key) });
  };
  return { predict: (question) => ask(question, false), trace: (question) => ask(question, true) };
}
