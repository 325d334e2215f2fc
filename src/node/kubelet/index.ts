/** The life of the pods of a node: status, probes, logs, exec. */
export { type Kubelet, type KubeletOptions, startKubelet } from "./kubelet.ts";
