// kubernetes/kubernetes test/e2e/network/{ingress,ingressclass}.go.
import { INGRESS_CLASSES, INGRESSES } from "#kube";
import { expectOperations } from "../fixture/api-operations.ts";
import type { ConformanceTest } from "../types.ts";

export const INGRESS: readonly ConformanceTest[] = [
  {
    title: "Ingress API should support creating Ingress API operations",
    run: (fixture) =>
      expectOperations(fixture, {
        resource: INGRESSES,
        template: {
          spec: {
            rules: [
              {
                host: "foo.bar.com",
                http: {
                  paths: [
                    {
                      path: "/",
                      pathType: "Prefix",
                      backend: { service: { name: "default-http-backend", port: { number: 80 } } },
                    },
                  ],
                },
              },
            ],
          },
        },
        status: {
          body: { loadBalancer: { ingress: [{ ip: "169.1.1.1" }] } },
          shows: (object) => object.status?.loadBalancer?.ingress?.[0]?.ip === "169.1.1.1",
        },
      }),
  },
  {
    title: "IngressClass API should support creating IngressClass API operations",
    run: (fixture) =>
      expectOperations(fixture, { resource: INGRESS_CLASSES, template: { spec: { controller: "example.com/controller" } } }),
  },
];
