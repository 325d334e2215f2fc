// The five classic scenarios of Kubernetes networking, with every packet looked at where it must cross: container to container, pod to
// pod on a node and across nodes, pod to Service, Service back to pod, and the internet to a Service. Over IPv4 and IPv6, with each overlay.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Pod } from "kubernetes-types/core/v1";
import { createInformer } from "#client";
import { ENDPOINT_SLICES, type KubeObject, NODES, PODS, SERVICES, type Stored } from "#kube";
import { type CommandResult, startTestCluster, type TestCluster } from "../testing/cluster.ts";
import { type ObservedPacket, observe } from "../testing/observed.ts";

const HTTP = 8080;
const NODE_PORT = 30777;

function pod(name: string, node: string, containers: readonly object[]): KubeObject {
  const metadata = { name, namespace: "default", labels: { app: name } };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { nodeName: node, terminationGracePeriodSeconds: 1, containers } } as KubeObject;
}

const serve = {
  name: "serve",
  image: "agnhost",
  args: ["netexec", `--http-port=${HTTP}`],
  readinessProbe: { httpGet: { path: "/healthz", port: HTTP } },
};
const idle = { name: "idle", image: "agnhost", args: ["pause"] };

function service(name: string): KubeObject {
  const ports = [{ port: 80, targetPort: HTTP, ...(name === "public" ? { nodePort: NODE_PORT } : {}) }];
  const type = name === "public" ? "NodePort" : "ClusterIP";
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { type, ipFamilyPolicy: "RequireDualStack", selector: { app: "server" }, ports },
  } as KubeObject;
}

async function allReady(cluster: TestCluster, count: number): Promise<Stored<Pod>[]> {
  const pods = createInformer(cluster.client, PODS, { namespace: "default" });
  const slices = createInformer(cluster.client, ENDPOINT_SLICES, { namespace: "default" });
  const done = Promise.withResolvers<void>();
  const look = (): void => {
    const ready = pods.list().filter((p) => p.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"));
    const programmed = slices
      .list()
      .filter((s) => s.metadata.name !== "kubernetes" && s.endpoints.some((e) => e.conditions?.ready === true));
    // Two Services of two families each.
    if (ready.length === count && programmed.filter((s) => !s.metadata.name.startsWith("kubernetes")).length >= 4) done.resolve();
  };
  pods.subscribe(look);
  slices.subscribe(look);
  await done.promise;
  const list = pods.list();
  pods.stop();
  slices.stop();
  return list;
}

const FAMILIES = [4, 6] as const;
type Family = (typeof FAMILIES)[number];

const isFamily = (family: Family) => (ip: string | undefined) => ip?.includes(":") === (family === 6);
const url = (ip: string, port: number, path: string): string => `http://${ip.includes(":") ? `[${ip}]` : ip}:${port}${path}`;
const tcp = (packets: readonly ObservedPacket[]): ObservedPacket[] => packets.filter((p) => p.protocol === "tcp");

for (const overlay of ["vxlan", "host-gw"] as const) {
  suite(`with ${overlay}`, () => {
    let cluster: TestCluster;
    let pods: Stored<Pod>[];

    before(async () => {
      cluster = await startTestCluster({ name: `scenarios-${overlay}`, flags: ["--nodes", "2", "--overlay", overlay] });
      const objects = [
        pod("client", "node-1", [idle, { ...serve, name: "neighbour", readinessProbe: undefined }]),
        pod("near", "node-1", [serve]),
        pod("server", "node-2", [serve]),
      ];
      for (const object of objects) await cluster.client.create(PODS, object);
      for (const name of ["inner", "public"]) await cluster.client.create(SERVICES, service(name));
      pods = await allReady(cluster, 3);
    });
    after(async () => {
      await cluster[Symbol.asyncDispose]();
    });

    const ipOf = (name: string, family: Family): string =>
      pods
        .find((p) => p.metadata.name === name)
        ?.status?.podIPs?.map((e) => e.ip)
        .find(isFamily(family)) ?? assert.fail(`no IPv${family} address of ${name}`);

    /** Runs in a pod's container; fails the test when the command fails. */
    async function inPod(name: string, container: string, ...command: string[]): Promise<string> {
      const result: CommandResult = await cluster.fairlead("exec", name, "-c", container, "--", ...command);
      assert.equal(result.code, 0, `${command.join(" ")} in ${name}: ${result.stderr}`);
      return result.stdout;
    }
    const fetchIn = (name: string, container: string, target: string): Promise<string> =>
      inPod(name, container, "/node", "-e", `fetch("${target}").then((r) => r.text()).then((t) => process.stdout.write(t))`);
    const clusterIp = async (name: string, family: Family): Promise<string> => {
      const found = await cluster.client.get(SERVICES, { namespace: "default", name });
      return found.spec?.clusterIPs?.find(isFamily(family)) ?? assert.fail(`no IPv${family} ClusterIP of ${name}`);
    };
    const nodeIp = async (name: string, family: Family): Promise<string> => {
      const found = await cluster.client.get(NODES, { name });
      const addresses = found.status?.addresses?.filter((a) => a.type === "InternalIP").map((a) => a.address);
      return addresses?.find(isFamily(family)) ?? assert.fail(`no IPv${family} address of ${name}`);
    };
    /** The path of the network namespace of a pod, inside the sandbox, by a process that is in it. */
    const netnsOf = async (name: string): Promise<string> => {
      const inode = (await inPod(name, name === "client" ? "idle" : "serve", "readlink", "/proc/self/ns/net")).trim();
      const found = await cluster.inside(
        "node-1",
        "sh",
        "-c",
        `for p in /proc/[0-9]*; do [ "$(readlink $p/ns/net)" = '${inode}' ] && echo $p/ns/net && break; done`,
      );
      return found.stdout.trim();
    };

    test("a name of the world outside fails at once, since there is no way out", async () => {
      // An answer within the resolver's time, which is much shorter than that of the name server.
      const resolve = `new (require("node:dns").Resolver)({ timeout: 1000, tries: 1 }).resolve4("www.example.com", (err) => console.log(err.code))`;
      for (let i = 0; i < 3; i++) assert.equal((await inPod("client", "idle", "/node", "-e", resolve)).trim(), "ESERVFAIL");
    });

    for (const family of FAMILIES) {
      suite(`IPv${family}`, () => {
        test("container to container in a pod: over loopback, and nothing on the wire", async () => {
          const ns = await netnsOf("client");
          const lo = await observe(cluster, ns, "lo");
          const eth0 = await observe(cluster, ns, "eth0");
          const text = await fetchIn("client", "idle", url(family === 4 ? "127.0.0.1" : "::1", HTTP, "/hostname"));
          const [inside, outside] = [tcp(await lo.stop()), tcp(await eth0.stop())];
          assert.equal(text, "client");
          assert.ok(
            inside.some((p) => p.dstPort === HTTP && p.flags.includes("SYN")),
            "no SYN on lo",
          );
          assert.deepEqual(outside, []);
        });

        test("pod to pod on a node: routed by the node, source address unchanged", async () => {
          const link = await observe(cluster, "node-1", "cni0");
          const text = await fetchIn("client", "idle", url(ipOf("near", family), HTTP, "/clientip"));
          const seen = tcp(await link.stop());
          assert.equal(text.replace(/:\d+$/, "").replace(/[[\]]/g, ""), ipOf("client", family));
          const syn = seen.filter((p) => p.dst === ipOf("near", family) && p.flags.includes("SYN"));
          assert.deepEqual(new Set(syn.map((p) => p.direction)), new Set(["in", "out"]), "the SYN goes into the node and out of it again");
        });

        test(`pod to pod across nodes: ${overlay === "vxlan" ? "encapsulated" : "plain"} on the underlay, source address unchanged`, async () => {
          const wire = await observe(cluster, "node-1", "eth0");
          const far = await observe(cluster, "node-2", "cni0");
          const text = await fetchIn("client", "idle", url(ipOf("server", family), HTTP, "/clientip"));
          const [underlay, arrived] = [await wire.stop(), tcp(await far.stop())];
          assert.equal(text.replace(/:\d+$/, "").replace(/[[\]]/g, ""), ipOf("client", family));
          const crossing = overlay === "vxlan" ? underlay.flatMap((p) => (p.inner === undefined ? [] : [p.inner])) : underlay;
          const isOurs = (p: ObservedPacket): boolean =>
            p.src === ipOf("client", family) && p.dst === ipOf("server", family) && p.dstPort === HTTP;
          assert.ok(crossing.some(isOurs), `not on the underlay: ${JSON.stringify(underlay.slice(0, 5))}`);
          if (overlay === "vxlan") assert.ok(!underlay.some(isOurs), "a pod's packet on the underlay without encapsulation");
          assert.ok(arrived.some(isOurs), "not at the server's bridge");
        });

        test("pod to Service, and the replies come from the Service's address", async () => {
          const vip = await clusterIp("inner", family);
          const ns = await netnsOf("client");
          const near = await observe(cluster, ns, "eth0");
          const far = await observe(cluster, "node-2", "cni0");
          const text = await fetchIn("client", "idle", url(vip, 80, "/clientip"));
          const [atClient, atServer] = [tcp(await near.stop()), tcp(await far.stop())];
          assert.equal(text.replace(/:\d+$/, "").replace(/[[\]]/g, ""), ipOf("client", family), "the client's address is kept");
          assert.ok(atClient.some((p) => p.dst === vip && p.dstPort === 80 && p.flags.includes("SYN")));
          assert.ok(
            atServer.some((p) => p.src === ipOf("client", family) && p.dst === ipOf("server", family) && p.dstPort === HTTP),
            "translated to the pod's address",
          );
          const replies = atClient.filter((p) => p.direction === "in");
          assert.ok(replies.length > 0 && replies.every((p) => p.src === vip && p.srcPort === 80), JSON.stringify(replies.slice(0, 3)));
        });

        test("Service back to the pod that asks: hairpin", async () => {
          const vip = await clusterIp("inner", family);
          const ns = await netnsOf("server");
          const own = await observe(cluster, ns, "eth0");
          const text = await fetchIn("server", "serve", url(vip, 80, "/hostname"));
          const seen = tcp(await own.stop());
          assert.equal(text, "server");
          const back = seen.filter((p) => p.direction === "in" && p.dst === ipOf("server", family) && p.dstPort === HTTP);
          assert.ok(back.length > 0 && back.every((p) => p.src !== ipOf("server", family)), "comes back from another address than its own");
          assert.ok(
            seen.some((p) => p.direction === "in" && p.src === vip && p.srcPort === 80),
            "the reply comes from the Service",
          );
        });

        for (const node of ["node-1", "node-2"]) {
          test(`outside to Service through the NodePort of ${node}`, async () => {
            const address = await nodeIp(node, family);
            const wire = await observe(cluster, node, "eth0");
            const result = await cluster.inside(
              "outside",
              "node",
              "-e",
              `fetch("${url(address, NODE_PORT, "/hostname")}").then((r) => r.text()).then((t) => process.stdout.write(t))`,
            );
            const seen = tcp(await wire.stop());
            assert.equal(result.stdout, "server", result.stderr);
            assert.ok(seen.some((p) => p.direction === "in" && p.dst === address && p.dstPort === NODE_PORT && p.flags.includes("SYN")));
            assert.ok(
              seen.some((p) => p.direction === "out" && p.src === address && p.srcPort === NODE_PORT),
              "the reply comes from the node's address",
            );
          });
        }
      });
    }
  });
}
