import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddr, formatAddrPort, formatPrefix } from "#ip";
import { parseFlags } from "./flags.ts";

const GOOD = {
  kubeconfig: "/c/agent.kubeconfig",
  "node-name": "node-1",
  "node-ip": "172.18.0.11,fd00:18::11",
  "node-root": "/c/nodes/node-1",
  "cluster-dns": "10.96.0.10,fd00:10:96::a",
  "service-cidr": "10.96.0.0/16,fd00:10:96::/112",
  "cluster-cidr": "10.244.0.0/16,fd00:10:244::/56",
  "kubelet-token-file": "/c/pki/kubelet-token",
};

function parse(over: Readonly<Record<string, string | undefined>> = {}): ReturnType<typeof parseFlags> {
  const args = Object.entries({ ...GOOD, ...over }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]));
  return parseFlags(args, "/dist");
}

test("what the sandbox passes", () => {
  const flags = parse();
  assert.deepEqual(flags.nodeAddrs.map(formatAddr), ["172.18.0.11", "fd00:18::11"]);
  assert.deepEqual(flags.clusterCidrs.map(formatPrefix), ["10.244.0.0/16", "fd00:10:244::/56"]);
  assert.equal(flags.overlay.name, "vxlan");
  assert.equal(flags.imageDir, "/dist");
  assert.equal(flags.exitsDir, undefined);
  assert.equal(flags.proxyMode, "nftables");
  assert.equal(flags.policyEstablished, "cut");
  assert.equal(parse({ "policy-established": "keep" }).policyEstablished, "keep");
  assert.equal(flags.healthz[0] && formatAddrPort(flags.healthz[0].addr, flags.healthz[0].port), "0.0.0.0:10256");
  assert.deepEqual(
    parse({ "metrics-bind-address": "[::1]:99" }).metrics.map(({ addr, port }) => formatAddrPort(addr, port)),
    ["[::1]:99"],
  );
  assert.deepEqual(parse({ "healthz-bind-address": "" }).healthz, []);
  assert.equal(flags.nodePortAddresses, undefined);
  assert.equal(flags.localhostNodePorts, false);
  assert.deepEqual(parse({ "nodeport-addresses": "10.0.0.0/8,fd00::/8" }).nodePortAddresses?.map(formatPrefix), ["10.0.0.0/8", "fd00::/8"]);
  assert.equal(parse({ overlay: "host-gw" }).overlay.name, "host-gw");
});

test("each wrong flag is named with its value", () => {
  const cases: [Record<string, string | undefined>, RegExp][] = [
    [{ kubeconfig: undefined }, /^--kubeconfig: is missing$/],
    [{ "node-ip": "172.18.0.300" }, /^--node-ip: "172\.18\.0\.300" is not an IP address$/],
    [{ "node-ip": "172.18.0.1,172.18.0.2" }, /^--node-ip: has two values of one family/],
    [{ overlay: "geneve" }, /^--overlay: "geneve" is not one of vxlan, host-gw$/],
    [{ "node-name": "Node_1" }, /^--node-name: "Node_1" is not /],
    [{ "service-cidr": "10.96.0.0" }, /^--service-cidr: "10\.96\.0\.0" is not an address block/],
    [{ "proxy-mode": "userspace" }, /^--proxy-mode: "userspace" is not one of nftables, iptables, ipvs$/],
    [{ "policy-established": "drop" }, /^--policy-established: "drop" is not one of cut, keep$/],
    [{ "nodeport-addresses": "primary,10.0.0.0/8" }, /^--nodeport-addresses: "primary,10\.0\.0\.0\/8" is both primary and blocks/],
    [{ "nodeport-addresses": "10.0.0.1" }, /^--nodeport-addresses: "10\.0\.0\.1" is not an address block/],
    [{ "healthz-bind-address": "10256" }, /^--healthz-bind-address: "10256" is not ADDRESS:PORT such as 0\.0\.0\.0:10256/],
    [{ "metrics-bind-address": "nowhere:1" }, /^--metrics-bind-address: "nowhere" is not an IP address$/],
    [{ nonsense: "1" }, /^command line: Unknown option '--nonsense'/],
  ];
  for (const [over, message] of cases) assert.throws(() => parse(over), { code: "BadInput", message });
});
