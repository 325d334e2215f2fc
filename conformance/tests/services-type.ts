// Services that change their type: kubernetes/kubernetes test/e2e/network/service.go.
import assert from "node:assert/strict";
import type { Service } from "kubernetes-types/core/v1";
import type { Stored } from "#kube";
import { runExecPod, serveHostnames } from "../fixture/pods.ts";
import { changeService, clusterIpOf, createService, expectServes, nodePortOf, without } from "../fixture/services.ts";
import { eventually } from "../fixture/wait.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

const PORTS = [{ name: "http", port: 80, targetPort: 9376, protocol: "TCP" }];

/** An ExternalName Service that names another Service of the namespace, whose address its name then resolves to. */
async function toExternalName(fixture: Fixture, type: "ClusterIP" | "NodePort"): Promise<void> {
  const name = `${type.toLowerCase()}-service`;
  const target = await createService(fixture, "externalsvc", { selector: { app: "externalsvc" }, ports: PORTS });
  const before = await createService(fixture, name, { type, selector: { app: "externalsvc" }, ports: PORTS });
  clusterIpOf(before);
  if (type === "NodePort") nodePortOf(before);
  await Promise.all([serveHostnames(fixture, { app: "externalsvc" }, 2), runExecPod(fixture, "execpod")]);

  const domain = `${fixture.namespace}.svc.cluster.local`;
  const after = await changeService(fixture, name, (spec) => ({
    ...without(spec, "ports", "clusterIP", "clusterIPs"),
    type: "ExternalName",
    externalName: `externalsvc.${domain}`,
    ...(type === "NodePort" ? { ports: [] } : {}),
  }));
  assert.equal(after.spec?.clusterIP ?? "", "", "an ExternalName Service has kept its cluster IP");
  assert.deepEqual(after.spec?.ports?.flatMap((port) => port.nodePort ?? []) ?? [], [], "it has kept its node port");
  await eventually(fixture, `${name}.${domain} is the address of externalsvc`, async () => {
    const found = await fixture.exec("execpod", ["getent", `ahostsv${fixture.family}`, `${name}.${domain}`]);
    assert.match(found, new RegExp(`^${clusterIpOf(target).replaceAll(".", "\\.")}\\s`));
  });
}

async function fromExternalName(fixture: Fixture, type: "ClusterIP" | "NodePort"): Promise<void> {
  const name = "externalname-service";
  const labels = { app: name };
  const before = await createService(fixture, name, { type: "ExternalName", externalName: "foo.example.com" });
  assert.equal(before.spec?.clusterIP ?? "", "", "an ExternalName Service has a cluster IP");
  const after: Stored<Service> = await changeService(fixture, name, (spec) => ({
    ...without(spec, "externalName"),
    type,
    selector: labels,
    ports: PORTS,
  }));
  clusterIpOf(after);
  if (type === "NodePort") nodePortOf(after);
  const [pods] = await Promise.all([serveHostnames(fixture, labels, 2), runExecPod(fixture, "execpod")]);
  await expectServes(fixture, "execpod", after, pods);
}

export const SERVICES_TYPE: readonly ConformanceTest[] = [
  {
    title: "Services should be able to change the type from ClusterIP to ExternalName",
    run: (fixture) => toExternalName(fixture, "ClusterIP"),
  },
  {
    title: "Services should be able to change the type from NodePort to ExternalName",
    run: (fixture) => toExternalName(fixture, "NodePort"),
  },
  {
    title: "Services should be able to change the type from ExternalName to ClusterIP",
    run: (fixture) => fromExternalName(fixture, "ClusterIP"),
  },
  {
    title: "Services should be able to change the type from ExternalName to NodePort",
    run: (fixture) => fromExternalName(fixture, "NodePort"),
  },
];
