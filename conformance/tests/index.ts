import type { ConformanceTest } from "../types.ts";
import { DNS } from "./dns.ts";
import { ENDPOINT_SLICE_TESTS } from "./endpoint-slices.ts";
import { HOST_PORT_TESTS } from "./host-port.ts";
import { INGRESS } from "./ingress.ts";
import { LATENCY } from "./latency.ts";
import { NETWORKING } from "./networking.ts";
import { PROXY } from "./proxy.ts";
import { SERVICE_CIDR_TESTS } from "./service-cidrs.ts";
import { SERVICES_AFFINITY } from "./services-affinity.ts";
import { SERVICES_API } from "./services-api.ts";
import { SERVICES_SERVE } from "./services-serve.ts";
import { SERVICES_TYPE } from "./services-type.ts";

export const TESTS: readonly ConformanceTest[] = [
  ...DNS,
  ...ENDPOINT_SLICE_TESTS,
  ...HOST_PORT_TESTS,
  ...INGRESS,
  ...LATENCY,
  ...NETWORKING,
  ...PROXY,
  ...SERVICE_CIDR_TESTS,
  ...SERVICES_AFFINITY,
  ...SERVICES_API,
  ...SERVICES_SERVE,
  ...SERVICES_TYPE,
];
