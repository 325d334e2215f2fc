// `fairlead agent --only proxy` on a node of a cluster that is not ours to make: an API server and its controllers, a node of which only
// the Node object and a network namespace are there, and kubectl. All of it in namespaces whose first process is testing/real-node.ts.
import { testRealNode } from "./testing/run-real-node.ts";

for (const mode of ["nftables", "iptables", "ipvs"]) testRealNode(mode);
