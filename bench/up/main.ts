// How long from the command `fairlead up` until a pod on node-2 has resolved a Service name and been answered by a pod on another node.
// usage: npm run bench up -- [--runs N] [--nodes N]
// Published for others (first pod not included): k3d 19.9 s, kind 33 s, minikube 50.8 s.
import { parseArgs } from "node:util";
import { createInformer } from "#client";
import { PODS, SERVICES } from "#kube";
import { startTestCluster, type TestCluster } from "../../src/app/testing/cluster.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "5" }, nodes: { type: "string", default: "3" } } });

const ASK = `
const ask = () => require("node:http").get("http://server.default.svc.cluster.local/hostname", (r) => {
  r.on("data", (d) => console.log(String(d)));
  r.on("end", () => process.exit(0));
}).on("error", () => setTimeout(ask, 10));
ask();`;

function pod(name: string, node: string, container: object): object {
  const spec = { nodeName: node, restartPolicy: "Never", containers: [{ name, image: "fairlead/agnhost", ...container }] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default", labels: { app: name } }, spec };
}

async function firstAnswer(cluster: TestCluster): Promise<void> {
  const { client } = cluster;
  const service = {
    metadata: { name: "server", namespace: "default" },
    spec: { selector: { app: "server" }, ports: [{ port: 80, targetPort: 8080 }] },
  };
  await Promise.all([
    client.create(SERVICES, service),
    client.create(PODS, pod("server", "node-3", { args: ["netexec", "--http-port=8080"] })),
    client.create(PODS, pod("client", "node-2", { command: ["/node", "-e", ASK] })),
  ]);
  const pods = createInformer(client, PODS, { namespace: "default" });
  const done = Promise.withResolvers<void>();
  pods.subscribe((change) => {
    if (change.object.metadata.name !== "client" || change.type === "delete") return;
    if (change.object.status?.phase === "Succeeded") done.resolve();
    if (change.object.status?.phase === "Failed") done.reject(new Error("the client's pod failed"));
  });
  await done.promise;
  pods.stop();
}

console.log("run   up (s)   answered (s)");
const totals: number[] = [];
for (let i = 1; i <= Number(values.runs); i++) {
  const startedAt = performance.now();
  await using cluster = await startTestCluster({ flags: ["--nodes", values.nodes] });
  const upS = (performance.now() - startedAt) / 1000;
  await firstAnswer(cluster);
  const answeredS = (performance.now() - startedAt) / 1000;
  totals.push(answeredS);
  console.log(`${String(i).padEnd(5)} ${upS.toFixed(2).padStart(6)} ${answeredS.toFixed(2).padStart(14)}`);
}
totals.sort((a, b) => a - b);
console.log(`median ${(totals[totals.length >> 1] ?? 0).toFixed(2)} s, slowest ${(totals.at(-1) ?? 0).toFixed(2)} s`);
