// kubernetes/kubernetes test/e2e/network/hostport.go.
import assert from "node:assert/strict";
import type { Pod } from "kubernetes-types/core/v1";
import { agnhost, runPods } from "../fixture/pods.ts";
import { bodies, httpFrom, udpFrom } from "../fixture/probes.ts";
import { eventually } from "../fixture/wait.ts";
import type { ConformanceTest, Fixture, NodeAddress } from "../types.ts";

const HOST_PORT = 54_323;
const LOCALHOST = "127.0.0.1";

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
  await runPods(
    fixture,
    server("pod1", node, LOCALHOST, "TCP"),
    server("pod2", node, ip, "TCP"),
    server("pod3", node, ip, "UDP"),
    agnhost("e2e-host-exec", { spec: { hostNetwork: true, nodeName: node.name } }),
  );
  const url = (host: string): string => `http://${host}:${HOST_PORT}/hostname`;
  await eventually(fixture, "each host port is its own pod's", async () => {
    assert.deepEqual(bodies(await httpFrom(fixture, "e2e-host-exec", url(ip))), ["pod2"], `TCP ${ip}:${HOST_PORT}`);
    assert.deepEqual(bodies(await udpFrom(fixture, "e2e-host-exec", { host: ip, port: HOST_PORT })), ["pod3"], `UDP ${ip}:${HOST_PORT}`);
    // From the node's own address, as upstream asks: a packet from 127.0.0.1 may not leave the loopback everywhere.
    const program = `require("node:http").get({host:"${LOCALHOST}",port:${HOST_PORT},path:"/hostname",localAddress:"${ip}"},(r)=>r.pipe(process.stdout)).on("error",(e)=>{console.error(e.message);process.exit(1)})`;
    assert.equal(await fixture.exec("e2e-host-exec", ["/node", "-e", program]), "pod1", `TCP ${LOCALHOST}:${HOST_PORT}`);
  });
}

export const HOST_PORT_TESTS: readonly ConformanceTest[] = [
  {
    title: "HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol [LinuxOnly]",
    run: noConflict,
  },
];
