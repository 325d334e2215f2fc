// The mode of real-node.e2e.ts that few kernels can do where tests run.
import { testRealNode } from "./testing/run-real-node.ts";

testRealNode("ipvs", 8);
