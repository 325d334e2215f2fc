// Neighbours, forwarding entries and rules of the fake kernel.
import { addrEquals, formatMac, prefixEquals } from "#ip";
import { describeFdb, describeNeigh, describeRule } from "../route/describe.ts";
import type { Fdb, Neigh, RouteSocket, Rule } from "../types.ts";
import { setAll } from "./routes.ts";
import { type FakeState, refusal } from "./state.ts";

function setNeigh(ns: FakeState, neigh: Neigh): void {
  const op = ns.begin(`set ${describeNeigh(neigh)}`);
  const link = ns.link(neigh.link, op);
  const state = neigh.state ?? "permanent";
  if (neigh.proxy !== true && neigh.mac === undefined && state !== "incomplete" && state !== "failed") {
    throw refusal(op, "EINVAL", "No link layer address given");
  }
  delNeigh(ns, neigh);
  ns.neighs.push({ ...neigh, link, ...(neigh.proxy !== true && { state }) });
  ns.emit("neigh", "new", neigh.link);
}

function delNeigh(ns: FakeState, neigh: Neigh): boolean {
  const kept = ns.neighs.filter(
    (other) => other.link.name !== neigh.link || (other.proxy ?? false) !== (neigh.proxy ?? false) || !addrEquals(other.addr, neigh.addr),
  );
  const deleted = kept.length < ns.neighs.length;
  ns.neighs = kept;
  return deleted;
}

export function fakeNeighs(ns: FakeState): RouteSocket["neighs"] {
  return {
    list(name) {
      if (name !== undefined) ns.link(name, `list neighbours on "${name}"`);
      return ns.neighs.map((neigh) => ({ ...neigh, link: neigh.link.name })).filter((neigh) => name === undefined || neigh.link === name);
    },
    set: (neigh) => setNeigh(ns, neigh),
    setMany: (neighs) => setAll(neighs, (neigh) => setNeigh(ns, neigh)),
    del(neigh) {
      ns.begin(`delete ${describeNeigh(neigh)}`);
      if (delNeigh(ns, neigh)) ns.emit("neigh", "del", neigh.link);
    },
  };
}

/** Group addresses and zero may have several destinations. */
function isFlooding(entry: Fdb): boolean {
  return ((entry.mac[0] ?? 0) & 1) !== 0 || entry.mac.every((byte) => byte === 0);
}

function sameDst(a: Fdb["dst"], b: Fdb["dst"]): boolean {
  return a === undefined || b === undefined ? a === b : addrEquals(a, b);
}

function setFdb(ns: FakeState, entry: Fdb): void {
  const op = ns.begin(`set ${describeFdb(entry)}`);
  const link = ns.link(entry.link, op);
  const { type } = link;
  if (type.kind === "vxlan") {
    if (entry.dst === undefined) throw refusal(op, "EINVAL");
    if (type.local !== undefined && type.local.family !== entry.dst.family) throw refusal(op, "EAFNOSUPPORT");
  }
  const sameMac = (other: (typeof ns.fdb)[number]): boolean => other.link === link && formatMac(other.mac) === formatMac(entry.mac);
  ns.fdb = ns.fdb.filter((other) => !sameMac(other) || (isFlooding(entry) && !sameDst(other.dst, entry.dst)));
  ns.fdb.push({ ...entry, link, permanent: entry.permanent ?? true });
  ns.emit("neigh", "new", entry.link);
}

export function fakeFdb(ns: FakeState): RouteSocket["fdb"] {
  return {
    list(name) {
      const link = ns.link(name, `list forwarding entries of "${name}"`);
      return ns.fdb.filter((entry) => entry.link === link).map((entry) => ({ ...entry, link: name }));
    },
    set: (entry) => setFdb(ns, entry),
    setMany: (entries) => setAll(entries, (entry) => setFdb(ns, entry)),
    del(entry) {
      ns.begin(`delete ${describeFdb(entry)}`);
      const kept = ns.fdb.filter(
        (other) =>
          other.link.name !== entry.link ||
          formatMac(other.mac) !== formatMac(entry.mac) ||
          (entry.dst !== undefined && !sameDst(other.dst, entry.dst)),
      );
      if (kept.length === ns.fdb.length) return;
      ns.fdb = kept;
      ns.emit("neigh", "del", entry.link);
    },
  };
}

function sameRule(a: Rule, b: Rule): boolean {
  const samePrefix = (x: Rule["from"], y: Rule["from"]): boolean => (x === undefined || y === undefined ? x === y : prefixEquals(x, y));
  return (
    a.family === b.family &&
    a.priority === b.priority &&
    a.table === b.table &&
    a.iif === b.iif &&
    a.fwmark?.value === b.fwmark?.value &&
    a.fwmark?.mask === b.fwmark?.mask &&
    samePrefix(a.from, b.from) &&
    samePrefix(a.to, b.to)
  );
}

export function fakeRules(ns: FakeState): RouteSocket["rules"] {
  return {
    list: (family) => ns.rules.filter((rule) => rule.family === family).sort((a, b) => a.priority - b.priority),
    add(rule) {
      const op = ns.begin(`add ${describeRule(rule)}`);
      if (ns.rules.some((other) => sameRule(rule, other))) throw refusal(op, "EEXIST");
      ns.rules.push(rule);
      ns.emit("rule", "new");
    },
    del(rule) {
      ns.begin(`delete ${describeRule(rule)}`);
      const at = ns.rules.findIndex((other) => sameRule(rule, other));
      if (at < 0) return;
      ns.rules.splice(at, 1);
      ns.emit("rule", "del");
    },
  };
}
