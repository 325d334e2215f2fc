// The shadow of a running cluster is what its kernels hold, and foresees the same.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Pod } from "kubernetes-types/core/v1";
import { createInformer, type Informer } from "#client";
import { parsePrefix } from "#ip";
import { CLUSTER_NETWORK_POLICIES, type ClusterNetworkPolicy, type KubeObject, NETWORK_POLICIES, PODS, SERVICES } from "#kube";
import { mergeReports } from "#observe";
import { clusterPaths, sandboxObserver } from "#sandbox";
import { gatherReports, listObjects, nodeDoor, type ObserverDoor } from "#trace";
import { startTestCluster, type TestCluster } from "../../app/testing/cluster.ts";
import { untilReady } from "../../app/testing/watched.ts";
import { shadowNetwork } from "./index.ts";
import { differences } from "./testing/differences.ts";

const PORT = 8080;
const AGAIN_MS = 100;
const WITHIN_MS = 30_000;

function server(name: string, nodeName: string, more: object = {}): Pod {
  const ports = ["TCP", "UDP"].map((protocol) => ({ name: `http-${protocol.toLowerCase()}`, containerPort: PORT, protocol, ...more }));
  const args = ["netexec", `--http-port=${PORT}`, `--udp-port=${PORT}`];
  const readinessProbe = { httpGet: { path: "/healthz", port: PORT }, periodSeconds: 1 };
  const spec = { nodeName, terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: "agnhost", args, ports, readinessProbe }] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default", labels: { app: name } }, spec };
}

function object(kind: string, apiVersion: string, name: string, spec: object): KubeObject {
  return { apiVersion, kind, metadata: { name, namespace: "default" }, spec } as KubeObject;
}

const SERVICES_OF: readonly KubeObject[] = [
  object("Service", "v1", "web", {
    type: "NodePort",
    selector: { app: "one" },
    ipFamilyPolicy: "PreferDualStack",
    ports: [{ port: 80, targetPort: PORT }],
  }),
  object("Service", "v1", "sticky", {
    type: "LoadBalancer",
    externalTrafficPolicy: "Local",
    sessionAffinity: "ClientIP",
    selector: { app: "two" },
    ports: [{ port: 80, targetPort: "http-tcp" }],
  }),
  object("Service", "v1", "nobody", { selector: { app: "nobody" }, ports: [{ port: 80 }] }),
];

const POLICIES: readonly KubeObject[] = [
  object("NetworkPolicy", "networking.k8s.io/v1", "one", {
    podSelector: { matchLabels: { app: "one" } },
    ingress: [
      { from: [{ podSelector: {} }, { ipBlock: { cidr: "10.0.0.0/8", except: ["10.244.9.0/24"] } }], ports: [{ port: "http-tcp" }] },
    ],
  }),
  object("NetworkPolicy", "networking.k8s.io/v1", "out", {
    podSelector: { matchLabels: { app: "two" } },
    policyTypes: ["Egress"],
    egress: [
      {
        ports: [
          { port: 53, protocol: "UDP" },
          { port: 1000, endPort: 2000 },
        ],
      },
    ],
  }),
];

const TIERS: Omit<ClusterNetworkPolicy, "metadata"> & { metadata: { name: string } } = {
  apiVersion: "policy.networking.k8s.io/v1alpha2",
  kind: "ClusterNetworkPolicy",
  metadata: { name: "tiers" },
  spec: {
    tier: "Admin",
    priority: 10,
    subject: { pods: { podSelector: { matchLabels: { app: "two" } } } },
    ingress: [{ action: "Deny", from: [{ namespaces: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } } }] }],
    egress: [
      {
        action: "Accept",
        to: [{ nodes: {} }, { networks: ["203.0.113.0/24"] }],
        protocols: [{ tcp: { destinationPort: { number: 80 } } }],
      },
    ],
  },
};

for (const overlay of ["vxlan", "host-gw"] as const) {
  suite(`the shadow of a running cluster over ${overlay}`, () => {
    let cluster: TestCluster;
    let pods: Informer<Pod>;

    before(async () => {
      cluster = await startTestCluster({ name: "shadow", flags: ["--nodes", "2", "--overlay", overlay] });
      const { client } = cluster;
      pods = createInformer(client, PODS);
      for (const service of SERVICES_OF) await client.create(SERVICES, service);
      for (const policy of POLICIES) await client.create(NETWORK_POLICIES, policy);
      await client.create(CLUSTER_NETWORK_POLICIES, TIERS);
      for (const pod of [server("one", "node-1"), server("two", "node-2"), server("exposed", "node-2", { hostPort: 8000 })])
        await client.create(PODS, pod);
      for (const name of ["one", "two", "exposed"]) await untilReady(pods, `default/${name}`);
    });

    after(async () => {
      pods.stop();
      await cluster[Symbol.asyncDispose]();
    });

    async function compare(): Promise<string[]> {
      const { client, home } = cluster;
      const sandbox = sandboxObserver(clusterPaths(home).controlSocket);
      const doors: ObserverDoor[] = [...["node-1", "node-2"].map((name) => nodeDoor(client, name)), sandbox];
      const { reports, problems } = await gatherReports(doors);
      const { slices: endpointSlices, ...objects } = await listObjects(client);
      const options = {
        overlay,
        podCidrs: ["10.244.0.0/16", "fd00:10:244::/56"].map((text) => parsePrefix(text)),
        serviceCidrs: ["10.96.0.0/16", "fd00:10:96::/112"].map((text) => parsePrefix(text)),
      };
      return [...problems, ...differences(shadowNetwork({ ...objects, endpointSlices }, options), mergeReports(reports))];
    }

    /** What has just changed is on its way to the kernels. */
    async function expectNone(): Promise<void> {
      const until = Date.now() + WITHIN_MS;
      let found = await compare();
      while (found.length > 0 && Date.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        found = await compare();
      }
      assert.deepEqual(found, []);
    }

    test("is what its kernels hold", () => expectNone());

    test("and what they hold after pods, Services and policies have come and gone", async () => {
      const { client } = cluster;
      const of = (name: string): { namespace: string; name: string } => ({ namespace: "default", name });
      await Promise.all([
        client.delete(PODS, of("one")),
        client.delete(NETWORK_POLICIES, of("out")),
        client.delete(SERVICES, of("nobody")),
      ]);
      await client.create(PODS, server("three", "node-2", { hostPort: 8001 }));
      await client.patch(SERVICES, of("web"), { type: "merge", body: { spec: { selector: { app: "three" } } } });
      await client.patch(PODS, of("exposed"), { type: "merge", body: { metadata: { labels: { app: "one" } } } });
      await untilReady(pods, "default/three");
      await expectNone();
    });
  });
}
