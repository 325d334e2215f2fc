// Session affinity: kubernetes/kubernetes test/e2e/network/service.go (execAffinityTestForNonLBService…).
import { runExecPod, serveHostnames } from "../fixture/pods.ts";
import { hostPort } from "../fixture/probes.ts";
import { changeService, clusterIpOf, createService, expectAffinity, nodePortOf, without } from "../fixture/services.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

const REPLICAS = 3;

async function affinity(fixture: Fixture, type: "ClusterIP" | "NodePort", switches: boolean): Promise<void> {
  const name = `affinity-${type.toLowerCase()}`;
  const labels = { app: name };
  const service = await createService(fixture, name, {
    type,
    selector: labels,
    sessionAffinity: "ClientIP",
    ports: [{ port: 80, targetPort: 9376 }],
  });
  await Promise.all([serveHostnames(fixture, labels, REPLICAS), runExecPod(fixture, "execpod")]);
  const targets =
    type === "ClusterIP" ? [hostPort(clusterIpOf(service), 80)] : fixture.nodes.map(({ ip }) => hostPort(ip, nodePortOf(service)));
  for (const target of targets) await expectAffinity(fixture, "execpod", target, true);
  if (!switches) return;
  for (const sticks of [false, true]) {
    await changeService(fixture, name, (spec) => ({
      ...without(spec, "sessionAffinityConfig"),
      sessionAffinity: sticks ? "ClientIP" : "None",
    }));
    for (const target of targets) await expectAffinity(fixture, "execpod", target, sticks);
  }
}

export const SERVICES_AFFINITY: readonly ConformanceTest[] = [
  {
    title: "Services should have session affinity work for service with type clusterIP [LinuxOnly]",
    run: (fixture) => affinity(fixture, "ClusterIP", false),
  },
  {
    title: "Services should have session affinity work for NodePort service [LinuxOnly]",
    run: (fixture) => affinity(fixture, "NodePort", false),
  },
  {
    title: "Services should be able to switch session affinity for service with type clusterIP [LinuxOnly]",
    run: (fixture) => affinity(fixture, "ClusterIP", true),
  },
  {
    title: "Services should be able to switch session affinity for NodePort service [LinuxOnly]",
    run: (fixture) => affinity(fixture, "NodePort", true),
  },
];
