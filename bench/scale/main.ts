// How long from the command `fairlead up` until N nodes with M pods each are Ready.
// usage: npm run bench scale -- [--nodes 10] [--pods 10] [--overlay vxlan]
import { parseArgs } from "node:util";
import { createInformer } from "#client";
import { DEPLOYMENTS, type KubeObject, PODS } from "#kube";
import { startTestCluster } from "../../src/app/testing/cluster.ts";

const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: "10" },
    pods: { type: "string", default: "10" },
    overlay: { type: "string", default: "vxlan" },
  },
});
const nodes = Number(values.nodes);
const total = nodes * Number(values.pods);

const labels = { app: "crowd" };
const deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "crowd", namespace: "default" },
  spec: {
    replicas: total,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "serve", image: "agnhost", args: ["netexec"], readinessProbe: { httpGet: { path: "/healthz", port: 8080 } } }],
      },
    },
  },
} as KubeObject;

const startedAt = performance.now();
const seconds = (): string => ((performance.now() - startedAt) / 1000).toFixed(2);
await using cluster = await startTestCluster({ flags: ["--nodes", values.nodes, "--overlay", values.overlay] });
console.log(`${seconds()} s  ${nodes} nodes Ready, DNS answers`);
await cluster.client.create(DEPLOYMENTS, deployment);
const pods = createInformer(cluster.client, PODS, { namespace: "default" });
const done = Promise.withResolvers<void>();
pods.subscribe(() => {
  const ready = pods.list().filter((pod) => pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"));
  if (ready.length === total) done.resolve();
});
await done.promise;
const perNode = Map.groupBy(pods.list(), (pod) => pod.spec?.nodeName ?? "");
pods.stop();
console.log(
  `${seconds()} s  ${total} pods Ready, ${Math.min(...[...perNode.values()].map((list) => list.length))} or more on each of ${perNode.size} nodes`,
);
