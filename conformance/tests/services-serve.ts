// Services in front of pods: kubernetes/kubernetes test/e2e/network/service.go.
import assert from "node:assert/strict";
import type { Pod } from "kubernetes-types/core/v1";
import { PODS, type Stored } from "#kube";
import { agnhost, runExecPod, runPods, serveHostnames } from "../fixture/pods.ts";
import { expectAnswersOf, hostPort, httpFrom, type Reply, udpFrom } from "../fixture/probes.ts";
import { changeService, clusterIpOf, createService, expectBackends, expectServes, expectServiceReachable } from "../fixture/services.ts";
import { eventually } from "../fixture/wait.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

function netexec(name: string, labels: Record<string, string>, ports: { readonly http?: number; readonly udp?: number }): Pod {
  const containerPorts = [
    ...(ports.http === undefined ? [] : [{ containerPort: ports.http }]),
    ...(ports.udp === undefined ? [] : [{ containerPort: ports.udp, protocol: "UDP" }]),
  ];
  const args = ["netexec", `--http-port=${ports.http ?? -1}`, `--udp-port=${ports.udp ?? -1}`];
  return agnhost(name, { labels, args, container: { ports: containerPorts } });
}

async function remove({ client, namespace }: Fixture, pod: Stored<Pod> | undefined): Promise<void> {
  if (pod !== undefined) await client.delete(PODS, { namespace, name: pod.metadata.name }, { gracePeriodSeconds: 0 });
}

async function basicEndpoint(fixture: Fixture): Promise<void> {
  const labels = { app: "endpoint-test2" };
  const service = await createService(fixture, "endpoint-test2", { selector: labels, ports: [{ port: 80, targetPort: 80 }] });
  await expectBackends(fixture, "endpoint-test2", {});
  await runExecPod(fixture, "execpod");

  const [pod1] = await runPods(fixture, netexec("pod1", labels, { http: 80 }));
  await expectBackends(fixture, "endpoint-test2", { pod1: [80] });
  await expectServes(fixture, "execpod", service, pod1 === undefined ? [] : [pod1]);

  const [pod2] = await runPods(fixture, netexec("pod2", labels, { http: 80 }));
  await expectBackends(fixture, "endpoint-test2", { pod1: [80], pod2: [80] });
  await expectServes(
    fixture,
    "execpod",
    service,
    [pod1, pod2].filter((pod) => pod !== undefined),
  );

  await remove(fixture, pod1);
  await expectBackends(fixture, "endpoint-test2", { pod2: [80] });
  await expectServes(fixture, "execpod", service, pod2 === undefined ? [] : [pod2]);

  await remove(fixture, pod2);
  await expectBackends(fixture, "endpoint-test2", {});
}

/** A pod that serves a port under the name by which the Service knows it. */
function named(name: string, labels: Record<string, string>, port: { readonly name: string; readonly number: number }): Pod {
  const args = ["netexec", `--http-port=${port.number}`, "--udp-port=-1"];
  return agnhost(name, { labels, args, container: { ports: [{ name: port.name, containerPort: port.number }] } });
}

async function multiport(fixture: Fixture): Promise<void> {
  const name = "multi-endpoint-test";
  const labels = { app: name };
  const service = await createService(fixture, name, {
    selector: labels,
    ports: [
      { name: "portname1", port: 80, targetPort: "svc1" },
      { name: "portname2", port: 81, targetPort: "svc2" },
    ],
  });
  await expectBackends(fixture, name, {});
  await runExecPod(fixture, "execpod");
  const answers = (port: number, pod: string): Promise<void> => {
    const ask = (): Promise<Reply[]> => httpFrom(fixture, "execpod", `http://${hostPort(clusterIpOf(service), port)}/hostname`, 4);
    return expectAnswersOf(fixture, `${name}:${port}`, ask, [pod]);
  };

  const [pod1] = await runPods(fixture, named("pod1", labels, { name: "svc1", number: 100 }));
  await expectBackends(fixture, name, { pod1: [100] });
  const [pod2] = await runPods(fixture, named("pod2", labels, { name: "svc2", number: 101 }));
  await expectBackends(fixture, name, { pod1: [100], pod2: [101] });
  await answers(80, "pod1");
  await answers(81, "pod2");

  await remove(fixture, pod1);
  await expectBackends(fixture, name, { pod2: [101] });
  await answers(81, "pod2");
  await remove(fixture, pod2);
  await expectBackends(fixture, name, {});
}

async function samePortDifferentProtocols(fixture: Fixture): Promise<void> {
  const labels = { app: "multiprotocol-test" };
  const both = [
    { name: "tcp-port", port: 80, targetPort: 80, protocol: "TCP" },
    { name: "udp-port", port: 80, targetPort: 80, protocol: "UDP" },
  ];
  const service = await createService(fixture, "multiprotocol-test", { selector: labels, ports: both });
  const [pod] = await runPods(fixture, netexec("pod1", labels, { http: 80, udp: 80 }), agnhost("execpod"));
  const pods = pod === undefined ? [] : [pod];
  await expectBackends(fixture, "multiprotocol-test", { pod1: [80] });
  await expectServes(fixture, "execpod", service, pods);
  for (const kept of both) {
    const changed = await changeService(fixture, "multiprotocol-test", (spec) => ({ ...spec, ports: [kept] }));
    assert.deepEqual(
      changed.spec?.ports?.map((port) => port.protocol),
      [kept.protocol],
    );
    await expectServes(fixture, "execpod", changed, pods);
    const host = clusterIpOf(changed);
    await eventually(fixture, `nothing but ${kept.protocol} is served`, async () => {
      const [reply] =
        kept.protocol === "TCP"
          ? await udpFrom(fixture, "execpod", { host, port: 80 })
          : await httpFrom(fixture, "execpod", `http://${hostPort(host, 80)}/hostname`);
      assert.equal(reply?.body, undefined);
    });
  }
}

async function nodePort(fixture: Fixture): Promise<void> {
  const labels = { app: "nodeport-test" };
  const service = await createService(fixture, "nodeport-test", {
    type: "NodePort",
    selector: labels,
    ports: [{ name: "http", port: 80, targetPort: 9376 }],
  });
  const [pods] = await Promise.all([serveHostnames(fixture, labels, 2), runExecPod(fixture, "execpod")]);
  await expectServiceReachable(fixture, "execpod", service);
  await expectServes(fixture, "execpod", service, pods);
}

export const SERVICES_SERVE: readonly ConformanceTest[] = [
  { title: "Services should serve a basic endpoint from pods", run: basicEndpoint },
  { title: "Services should serve multiport endpoints from pods", run: multiport },
  { title: "Services should serve endpoints on same port and different protocols", run: samePortDifferentProtocols },
  { title: "Services should be able to create a functioning NodePort service", run: nodePort },
];
