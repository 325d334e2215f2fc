// Pod to pod and node to pod: kubernetes/kubernetes test/e2e/common/network/networking.go, test/e2e/framework/network/utils.go.
import assert from "node:assert/strict";
import type { Pod } from "kubernetes-types/core/v1";
import type { Stored } from "#kube";
import { agnhost, runPods } from "../fixture/pods.ts";
import { bodies, expectAnswersOf, hostPort, httpFrom, type Reply, udpFrom } from "../fixture/probes.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

type Protocol = "http" | "udp";

const HTTP_PORT = 8083;
const UDP_PORT = 8081;
const DIALER_PORT = 9080;

interface Pods {
  /** One on each node. */
  readonly servers: readonly Stored<Pod>[];
  readonly dialer: Stored<Pod>;
}

async function start(fixture: Fixture): Promise<Pods> {
  const servers = fixture.nodes.map(({ name }, i) =>
    agnhost(`netserver-${i}`, {
      labels: { app: "netserver" },
      args: ["netexec", `--http-port=${HTTP_PORT}`, `--udp-port=${UDP_PORT}`],
      container: { readinessProbe: { httpGet: { path: "/healthz", port: HTTP_PORT } } },
      spec: { nodeName: name },
    }),
  );
  const dialer = agnhost("test-container-pod", { args: ["netexec", `--http-port=${DIALER_PORT}`, "--udp-port=-1"] });
  const host = agnhost("host-test-container-pod", { spec: { hostNetwork: true } });
  const ready = await runPods(fixture, dialer, host, ...servers);
  const [first = assert.fail("no dialer"), , ...rest] = ready;
  return { dialer: first, servers: rest };
}

const ipOf = (pod: Stored<Pod>): string => pod.status?.podIP ?? assert.fail(`pod ${pod.metadata.name} has no address`);

/** Each server is asked by a pod that is told to over HTTP, from a pod on the host's network. */
async function intraPod(fixture: Fixture, protocol: Protocol): Promise<void> {
  const { servers, dialer } = await start(fixture);
  const port = protocol === "http" ? HTTP_PORT : UDP_PORT;
  for (const server of servers) {
    const query = `request=hostname&protocol=${protocol}&host=${encodeURIComponent(ipOf(server))}&port=${port}&tries=1`;
    const ask = async (): Promise<Reply[]> => {
      const url = `http://${hostPort(ipOf(dialer), DIALER_PORT)}/dial?${query}`;
      const [answer = "{}"] = bodies(await httpFrom(fixture, "host-test-container-pod", url));
      const { responses = [], errors = [] } = JSON.parse(answer) as { responses?: string[]; errors?: string[] };
      return [...responses.map((body) => ({ body })), ...errors.map((error) => ({ error }))];
    };
    await expectAnswersOf(fixture, `${protocol} from test-container-pod to ${server.metadata.name}`, ask, [server.metadata.name]);
  }
}

async function nodePod(fixture: Fixture, protocol: Protocol): Promise<void> {
  const { servers } = await start(fixture);
  for (const server of servers) {
    const ask = (): Promise<Reply[]> =>
      protocol === "http"
        ? httpFrom(fixture, "host-test-container-pod", `http://${hostPort(ipOf(server), HTTP_PORT)}/hostName`)
        : udpFrom(fixture, "host-test-container-pod", { host: ipOf(server), port: UDP_PORT, message: "hostName" });
    await expectAnswersOf(fixture, `${protocol} from the node to ${server.metadata.name}`, ask, [server.metadata.name]);
  }
}

export const NETWORKING: readonly ConformanceTest[] = [
  {
    title: "Networking Granular Checks: Pods should function for intra-pod communication: http",
    run: (fixture) => intraPod(fixture, "http"),
  },
  {
    title: "Networking Granular Checks: Pods should function for intra-pod communication: udp",
    run: (fixture) => intraPod(fixture, "udp"),
  },
  {
    title: "Networking Granular Checks: Pods should function for node-pod communication: http [LinuxOnly]",
    run: (fixture) => nodePod(fixture, "http"),
  },
  {
    title: "Networking Granular Checks: Pods should function for node-pod communication: udp [LinuxOnly]",
    run: (fixture) => nodePod(fixture, "udp"),
  },
];
