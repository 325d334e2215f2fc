// kubernetes/kubernetes test/e2e/network/service_cidrs.go.
import type { ConformanceTest } from "../types.ts";

const NOT_SERVED = "the API server does not serve networking.k8s.io/v1 servicecidrs and ipaddresses yet";

export const SERVICE_CIDRS: readonly ConformanceTest[] = [
  { title: "ServiceCIDR and IPAddress API should support ServiceCIDR API operations", skip: NOT_SERVED, run: () => Promise.resolve() },
  { title: "ServiceCIDR and IPAddress API should support IPAddress API operations", skip: NOT_SERVED, run: () => Promise.resolve() },
];
