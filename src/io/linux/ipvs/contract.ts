// What IPVS promises, run over the fake and over the kernel. Each case gets a namespace (or a fake) without services.
import assert from "node:assert/strict";
import { addrPlus, parseAddr } from "#ip";
import { KernelError } from "../kernel-error.ts";
import { formatIpvsDestination, formatIpvsService } from "./describe.ts";
import type { IpvsChange, IpvsDestination, IpvsService, IpvsServiceKey, IpvsServiceState, IpvsSocket } from "./types.ts";

export interface IpvsContractCase {
  readonly name: string;
  readonly run: (ipvs: IpvsSocket) => void;
}

const TCP = 6;
const UDP = 17;
const SCTP = 132;

function service(addr: string, port: number, rest: Partial<IpvsService> = {}): IpvsService {
  return { addr: parseAddr(addr), protocol: TCP, port, scheduler: "rr", ...rest };
}

function destination(addr: string, rest: Partial<IpvsDestination> = {}): IpvsDestination {
  return { addr: parseAddr(addr), port: 8080, weight: 1, ...rest };
}

function withoutStats({ stats: _stats, ...rest }: IpvsServiceState): IpvsService {
  return rest;
}

function servicesOf(ipvs: IpvsSocket): IpvsService[] {
  const byName = (a: IpvsService, b: IpvsService): number => (formatIpvsService(a) < formatIpvsService(b) ? -1 : 1);
  return ipvs.services().map(withoutStats).sort(byName);
}

/** One line per destination: `addr:port weight`. */
function destinationsOf(ipvs: IpvsSocket, key: IpvsServiceKey): string[] {
  return ipvs
    .destinations(key)
    .map((each) => `${formatIpvsDestination(each)} ${each.weight}`)
    .sort();
}

function refused(run: () => void, code: string, message: RegExp, facts?: object): void {
  assert.throws(run, (err: unknown) => {
    assert.ok(err instanceof KernelError, String(err));
    assert.equal(err.code, code, err.message);
    assert.match(err.message, message);
    if (facts !== undefined) assert.deepEqual(err.facts, facts);
    return true;
  });
}

const web = service("10.96.0.1", 80);
const six = service("fd00:10:96::1", 80);

const services: IpvsContractCase = {
  name: "services of both families, all protocols, and of marks",
  run(ipvs) {
    const made = [
      { ...six, persistence: { timeoutSeconds: 60, bits: 128 } },
      { ...web, protocol: SCTP },
      web,
      { ...web, protocol: UDP, onePacket: true, scheduler: "wrr", persistence: { timeoutSeconds: 10_800, bits: 24 } },
      { family: 4, fwmark: 0xfa1d_0001, scheduler: "rr" },
      { family: 6, fwmark: 0xfa1d_0001, scheduler: "rr", persistence: { timeoutSeconds: 7, bits: 64 } },
    ] as const;
    ipvs.apply(made.map((each) => ({ op: "add service", service: each })));
    const byName = made.toSorted((a, b) => (formatIpvsService(a) < formatIpvsService(b) ? -1 : 1));
    assert.deepEqual(servicesOf(ipvs), byName);
    refused(() => ipvs.apply([{ op: "add service", service: web }]), "EEXIST", /Cannot add virtual service tcp 10\.96\.0\.1:80: it exists/);

    const changed = { ...web, persistence: { timeoutSeconds: 5, bits: 32 }, scheduler: "lc" };
    ipvs.apply([{ op: "change service", service: changed }]);
    assert.deepEqual(
      servicesOf(ipvs).find((each) => formatIpvsService(each) === formatIpvsService(web)),
      changed,
    );
    ipvs.apply([{ op: "change service", service: web }]);
    assert.deepEqual(servicesOf(ipvs), byName);
    for (const each of made.slice(2)) ipvs.apply([{ op: "delete service", service: each }]);
    ipvs.apply([{ op: "delete service", service: web }]);
    assert.deepEqual(
      servicesOf(ipvs),
      byName.filter((each) => made.indexOf(each) < 2),
    );
    ipvs.flush();
    assert.deepEqual(ipvs.services(), []);
  },
};

const destinations: IpvsContractCase = {
  name: "destinations, with weights, thresholds and ways of forwarding",
  run(ipvs) {
    const add = (key: IpvsServiceKey, each: IpvsDestination): IpvsChange => ({ op: "add destination", service: key, destination: each });
    const mark = { family: 4, fwmark: 9, scheduler: "rr" } as const;
    const one = destination("10.244.1.2");
    const two = destination("10.244.1.3", { weight: 7, forwarding: "route", upperThreshold: 9, lowerThreshold: 3 });
    ipvs.apply([
      { op: "add service", service: web },
      { op: "add service", service: six },
      { op: "add service", service: mark },
      add(web, one),
      add(web, two),
      add(six, destination("fd00:10:244:1::2")),
      add(mark, destination("10.244.1.2", { port: 0 })),
    ]);
    assert.deepEqual(destinationsOf(ipvs, web), ["10.244.1.2:8080 1", "10.244.1.3:8080 7"]);
    assert.deepEqual(destinationsOf(ipvs, six), ["[fd00:10:244:1::2]:8080 1"]);
    assert.deepEqual(destinationsOf(ipvs, mark), ["10.244.1.2 1"]);
    const found = ipvs.destinations(web).find(({ weight }) => weight === 7);
    const none = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
    assert.deepEqual(found, { ...two, activeConnections: 0, inactiveConnections: 0, persistentConnections: 0, stats: none });
    ipvs.apply([{ op: "change destination", service: web, destination: { ...one, weight: 0 } }]);
    ipvs.apply([{ op: "delete destination", service: web, destination: two }]);
    ipvs.apply([{ op: "delete destination", service: web, destination: two }]);
    assert.deepEqual(destinationsOf(ipvs, web), ["10.244.1.2:8080 0"]);
    ipvs.apply([
      { op: "delete service", service: web },
      { op: "delete destination", service: web, destination: one },
    ]);
    assert.deepEqual(ipvs.destinations(web), []);
  },
};

const refusals: IpvsContractCase = {
  name: "refusals name what was attempted; what can be done is done",
  run(ipvs) {
    const one = destination("10.244.1.2");
    refused(() => ipvs.apply([{ op: "add service", service: { ...web, scheduler: "nix" } }]), "ENOENT", /^Cannot add virtual service tcp/);
    refused(() => ipvs.apply([{ op: "change service", service: web }]), "ESRCH", /^Cannot change virtual service tcp/);
    const name = /^Cannot add destination 10\.244\.1\.2:8080 of virtual service tcp 10\.96\.0\.1:80: /;
    refused(() => ipvs.apply([{ op: "add destination", service: web, destination: one }]), "ESRCH", name);
    const changes: IpvsChange[] = [
      { op: "add service", service: web },
      { op: "add destination", service: web, destination: one },
      { op: "add destination", service: web, destination: one },
      { op: "add destination", service: six, destination: destination("fd00::1") },
      { op: "add destination", service: web, destination: destination("10.244.1.3") },
    ];
    refused(() => ipvs.apply(changes), "EEXIST", name, { refused: 2, of: 5 });
    assert.deepEqual(destinationsOf(ipvs, web), ["10.244.1.2:8080 1", "10.244.1.3:8080 1"]);
    const absent: IpvsChange = { op: "change destination", service: web, destination: destination("10.244.1.4") };
    refused(() => ipvs.apply([absent]), "ENOENT", /^Cannot change destination/);
    const crossed = destination("10.244.1.5", { upperThreshold: 1, lowerThreshold: 2 });
    refused(() => ipvs.apply([{ op: "add destination", service: web, destination: crossed }]), "ERANGE", /^Cannot add destination/);
  },
};

const settings: IpvsContractCase = {
  name: "information and timeouts",
  run(ipvs) {
    assert.match(ipvs.info().version, /^1\.\d+\.\d+$/);
    assert.ok(ipvs.info().connectionTableSize >= 256);
    ipvs.setTimeouts({ tcpSeconds: 901, tcpFinSeconds: 121, udpSeconds: 301 });
    ipvs.setTimeouts({ udpSeconds: 302 });
    assert.deepEqual(ipvs.timeouts(), { tcpSeconds: 901, tcpFinSeconds: 121, udpSeconds: 302 });
  },
};

const many: IpvsContractCase = {
  name: "1,000 services and 3,000 destinations",
  run(ipvs) {
    const all = Array.from({ length: 1000 }, (_, i) => ({ ...web, addr: addrPlus(parseAddr("10.96.0.0"), i) }));
    const base = parseAddr("10.244.0.0");
    const added = all.flatMap((each, i): IpvsChange[] => [
      { op: "add service", service: each },
      ...[0, 1, 2].map((j): IpvsChange => {
        return { op: "add destination", service: each, destination: { addr: addrPlus(base, 3 * i + j), port: 80, weight: 1 } };
      }),
    ]);
    ipvs.apply(added);
    const listed = ipvs.services();
    assert.equal(listed.length, 1000);
    assert.equal(
      listed.reduce((sum, each) => sum + ipvs.destinations(each).length, 0),
      3000,
    );
    ipvs.apply(all.map((each) => ({ op: "delete service", service: each })));
    assert.deepEqual(ipvs.services(), []);
  },
};

export const IPVS_CONTRACT: readonly IpvsContractCase[] = [services, destinations, refusals, settings, many];
