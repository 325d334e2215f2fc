// NodePorts as the host has them: TCP and UDP, on every loopback address, for as long as the Service has them.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { after, before, suite, test } from "node:test";
import { createInformer } from "#client";
import { ENDPOINT_SLICES, type KubeObject, PODS, SERVICES } from "#kube";
import { startTestCluster, type TestCluster } from "../testing/cluster.ts";

const NODE_PORT = 30_931;
const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));
const HOSTS = hasIpv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"];

suite("NodePorts on the host", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster({ name: "publish", flags: ["--nodes", "2"] });
    const metadata = { name: "web", namespace: "default", labels: { app: "web" } };
    const readinessProbe = { httpGet: { path: "/healthz", port: 8080 } };
    const args = ["netexec", "--http-port=8080", "--udp-port=8081"];
    const spec = { nodeName: "node-2", containers: [{ name: "c", image: "agnhost", args, readinessProbe }] };
    await cluster.client.create(PODS, { apiVersion: "v1", kind: "Pod", metadata, spec } as KubeObject);
    const ports = [
      { name: "http", port: 80, targetPort: 8080, nodePort: NODE_PORT, protocol: "TCP" },
      { name: "udp", port: 80, targetPort: 8081, nodePort: NODE_PORT, protocol: "UDP" },
    ];
    const service = { apiVersion: "v1", kind: "Service", metadata, spec: { type: "NodePort", selector: { app: "web" }, ports } };
    await cluster.client.create(SERVICES, service as KubeObject);
    const slices = createInformer(cluster.client, ENDPOINT_SLICES, { namespace: "default" });
    await new Promise<void>((resolve) => {
      slices.subscribe(({ object: { metadata: own, endpoints } }) => {
        if (own.name.startsWith("web-") && endpoints.some(({ conditions }) => conditions?.ready === true)) resolve();
      });
    });
    slices.stop();
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  for (const host of HOSTS) {
    test(`TCP and UDP on ${host}`, async () => {
      const url = `http://${host.includes(":") ? `[${host}]` : host}:${NODE_PORT}/hostname`;
      let text: string | undefined;
      // The host follows the Service, and the node's tables the endpoint, a moment later.
      while (text === undefined)
        text = await fetch(url).then(
          (res) => res.text(),
          () => undefined,
        );
      assert.equal(text, "web");
      assert.equal(await askUdp(host, "hostname"), "web");
      assert.equal(await askUdp(host, `echo ${"x".repeat(1200)}`), "x".repeat(1200));
    });
  }

  test("the ports are given back with the Service", async () => {
    await cluster.client.delete(SERVICES, { namespace: "default", name: "web" });
    for (const host of HOSTS) {
      for (;;) {
        const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
        const free = await new Promise<boolean>((resolve) => {
          socket.once("error", () => resolve(false)).bind(NODE_PORT, host, () => resolve(true));
        });
        socket.close();
        if (free) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  });
});

/** Asks until there is an answer: a datagram may be lost while rules are made. */
async function askUdp(host: string, text: string): Promise<string> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.on("error", () => {});
  const again = setInterval(() => socket.send(text, NODE_PORT, host, () => {}), 200);
  socket.send(text, NODE_PORT, host, () => {});
  const [answer] = (await once(socket, "message")) as [Buffer];
  clearInterval(again);
  socket.close();
  return answer.toString().trim();
}
