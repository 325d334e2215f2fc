// Pods and Services through the API server: kubernetes/kubernetes test/e2e/network/proxy.go.
import assert from "node:assert/strict";
import { agnhost, runPods } from "../fixture/pods.ts";
import { createService, expectBackends } from "../fixture/services.ts";
import { eventually } from "../fixture/wait.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

const ATTEMPTS = 20;

/** A page with a link, which is to lead back through the proxy. */
const page = (link: string): string => `<a href="${link}">test</a>`;

async function startManyPorts(fixture: Fixture, name: string): Promise<void> {
  const labels = { "proxy-service-target": "true" };
  await createService(fixture, name, {
    selector: labels,
    ports: [
      { name: "portname1", port: 80, targetPort: "dest1" },
      { name: "portname2", port: 81, targetPort: 162 },
      { name: "tlsportname1", port: 443, targetPort: "tlsdest1" },
      { name: "tlsportname2", port: 444, targetPort: 462 },
    ],
  });
  const env = {
    SERVE_PORT_80: page("/rewriteme"),
    SERVE_PORT_1080: page("/rewriteme"),
    SERVE_PORT_160: "foo",
    SERVE_PORT_162: "bar",
    SERVE_TLS_PORT_443: page("/tlsrewriteme"),
    SERVE_TLS_PORT_460: "tls baz",
    SERVE_TLS_PORT_462: "tls qux",
  };
  const ports = { first: 80, dest1: 160, dest2: 162, tlsdest1: 460, tlsdest2: 462 };
  await runPods(
    fixture,
    agnhost("porter", {
      labels,
      args: ["porter"],
      container: {
        env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
        ports: Object.entries(ports).map(([key, containerPort]) => ({ name: key, containerPort })),
        readinessProbe: { httpGet: { port: 80 }, timeoutSeconds: 5, periodSeconds: 10 },
      },
    }),
  );
  await expectBackends(fixture, name, { porter: [160, 162, 460, 462] });
}

async function throughServiceAndPod(fixture: Fixture): Promise<void> {
  const name = "proxy-service";
  await startManyPorts(fixture, name);
  const base = `/api/v1/namespaces/${fixture.namespace}`;
  const service = (scheme: string, port: string): string => `${base}/services/${scheme}${name}:${port}/proxy`;
  const pod = (target: string): string => `${base}/pods/${target}/proxy`;
  const expected = new Map<string, string>([
    ...["", "http:"].flatMap((scheme): [string, string][] => [
      [service(scheme, "portname1"), "foo"],
      [service(scheme, "portname2"), "bar"],
      [pod(`${scheme}porter:1080`), page(`${pod(`${scheme}porter:1080`)}/rewriteme`)],
      [pod(`${scheme}porter:160`), "foo"],
      [pod(`${scheme}porter:162`), "bar"],
    ]),
    [service("https:", "tlsportname1"), "tls baz"],
    [service("https:", "tlsportname2"), "tls qux"],
    // Without a port it is the first that the pod names.
    [pod("porter"), page(`${pod("porter")}/rewriteme`)],
    [pod("porter:80"), page(`${pod("porter:80")}/rewriteme`)],
    [pod("https:porter:443"), page(`${pod("https:porter:443")}/tlsrewriteme`)],
    [pod("https:porter:460"), "tls baz"],
    [pod("https:porter:462"), "tls qux"],
  ]);
  for (let i = 0; i < ATTEMPTS; i++) {
    await Promise.all(
      [...expected].map(async ([path, body]) => {
        const answer = await fixture.http("GET", `${path}/`);
        assert.deepEqual({ status: answer.status, body: answer.body }, { status: 200, body }, `GET ${path}/`);
      }),
    );
  }
}

interface Target {
  readonly pod: string;
  readonly service: string;
}

async function startPorter(fixture: Fixture): Promise<Target> {
  const labels = { test: "response" };
  const env = [{ name: "SERVE_PORT_80", value: "foo" }];
  await runPods(
    fixture,
    agnhost("agnhost", { labels, args: ["porter", "--json-response"], container: { env }, spec: { restartPolicy: "Never" } }),
  );
  await createService(fixture, "test-service", { selector: labels, ports: [{ port: 80, targetPort: 80, protocol: "TCP" }] });
  const base = `/api/v1/namespaces/${fixture.namespace}`;
  return { pod: `${base}/pods/agnhost/proxy`, service: `${base}/services/test-service/proxy` };
}

async function expectEchoes(fixture: Fixture, method: string, path: string): Promise<void> {
  await eventually(fixture, `${method} ${path}`, async () => {
    const { status, body } = await fixture.http(method, path);
    assert.equal(status, 200, body);
    if (method !== "HEAD") assert.deepEqual(JSON.parse(body), { Method: method, Body: "foo" });
  });
}

const METHODS = ["DELETE", "OPTIONS", "PATCH", "POST", "PUT"];

async function withoutPath(fixture: Fixture): Promise<void> {
  const { pod, service } = await startPorter(fixture);
  for (const target of [pod, service]) {
    for (const method of METHODS) await expectEchoes(fixture, method, `${target}?method=${method}`);
    for (const method of ["GET", "HEAD"]) {
      const { status, body } = await fixture.http(method, `${target}?method=${method}`);
      assert.equal(status, 301, `${method} ${target}: ${body}`);
    }
  }
}

async function withPath(fixture: Fixture): Promise<void> {
  const { pod, service } = await startPorter(fixture);
  for (const target of [pod, service]) {
    for (const method of ["GET", "HEAD", ...METHODS]) await expectEchoes(fixture, method, `${target}/some/path/with/${method}`);
  }
}

export const PROXY: readonly ConformanceTest[] = [
  { title: "Proxy version v1 should proxy through a service and a pod", run: throughServiceAndPod },
  { title: "Proxy version v1 A set of valid responses are returned for both pod and service Proxy", run: withoutPath },
  { title: "Proxy version v1 A set of valid responses are returned for both pod and service ProxyWithPath", run: withPath },
];
