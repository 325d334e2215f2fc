// kubernetes/kubernetes test/e2e/network/hostport.go.
import assert from "node:assert/strict";
import type { Pod } from "kubernetes-types/core/v1";
import { agnhost, runPods } from "../fixture/pods.ts";
import { bodies, hostPort, httpFrom, udpFrom } from "../fixture/probes.ts";
import { eventually } from "../fixture/wait.ts";
import type { ConformanceTest, Fixture, NodeAddress } from "../types.ts";

const HOST_PORT = 54_323;

function server(name: string, node: NodeAddress, hostIP: string, protocol: "TCP" | "UDP"): Pod {
  return agnhost(name, {
    args: ["netexec", "--http-port=8080", "--udp-port=8080"],
    container: {
      ports: [{ hostPort: HOST_PORT, containerPort: 8080, protocol, hostIP }],
      readinessProbe: { httpGet: { path: "/hostname", port: 8080 } },
    },
    spec: { nodeName: node.name },
  });
}

async function noConflict(fixture: Fixture): Promise<void> {
  const [node = assert.fail("the cluster has no node")] = fixture.nodes;
  const { ip } = node;
  const localhost = fixture.family === 6 ? "::1" : "127.0.0.1";
  await runPods(
    fixture,
    server("pod1", node, localhost, "TCP"),
    server("pod2", node, ip, "TCP"),
    server("pod3", node, ip, "UDP"),
    agnhost("e2e-host-exec", { spec: { hostNetwork: true, nodeName: node.name } }),
  );
  const url = `http://${hostPort(ip, HOST_PORT)}/hostname`;
  await eventually(fixture, "each host port is its own pod's", async () => {
    assert.deepEqual(bodies(await httpFrom(fixture, "e2e-host-exec", url)), ["pod2"], `TCP ${ip}`);
    assert.deepEqual(bodies(await udpFrom(fixture, "e2e-host-exec", { host: ip, port: HOST_PORT })), ["pod3"], `UDP ${ip}`);
    // From the node's own address, as upstream asks: a packet from 127.0.0.1 may not leave the loopback everywhere.
    const program = `require("node:http").get({host:"${localhost}",port:${HOST_PORT},path:"/hostname",localAddress:"${ip}"},(r)=>r.pipe(process.stdout)).on("error",(e)=>{console.error(e.message);process.exit(1)})`;
    assert.equal(await fixture.exec("e2e-host-exec", ["/node", "-e", program]), "pod1", `TCP ${localhost}`);
  });
}

export const HOST_PORT_TESTS: readonly ConformanceTest[] = [
  {
    title: "HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol [LinuxOnly]",
    run: noConflict,
  },
];
