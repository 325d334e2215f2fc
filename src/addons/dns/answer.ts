// From a query to what is said to it, as data: an answer, or what has to be asked upstream first. Names in queries are in lower case
// here; whoever encodes the answer puts the client's own spelling back.
import { DNS_RCODE, DNS_TYPE, type DnsMessage, type DnsQuestion, type DnsRecord, dnsMessage } from "#wire";
import { type Finding, lookup, soaRecord, type Zones, zoneOf } from "./lookup.ts";
import type { Versioned } from "./zone-index.ts";

/** Longest chain of aliases that is followed (CoreDNS `maxCnameChainLength`). */
const MAX_ALIASES = 10;

export interface Circumstances {
  /** Whether Services, endpoints and namespaces are all known. */
  readonly synced: boolean;
  /** Whether there is anyone to ask about names that are not ours. */
  readonly hasUpstream: boolean;
}

export type Answer =
  /** `madeFrom`, where present, is all that the reply depends on. */
  | { readonly kind: "reply"; readonly reply: DnsMessage; readonly madeFrom?: Versioned }
  /** Not ours: to be asked upstream as it is. */
  | { readonly kind: "forward" }
  /** An alias that leads out of the cluster: the upstream's answer for `target` completes `reply`. */
  | { readonly kind: "complete"; readonly target: string; readonly reply: DnsMessage };

/** Answers a query with one question of class IN and opcode QUERY. */
export function answer(zones: Zones, query: DnsMessage, question: DnsQuestion, circumstances: Circumstances): Answer {
  const { type } = question;
  if (type === DNS_TYPE.AXFR || type === DNS_TYPE.IXFR)
    return { kind: "reply", reply: replyTo(query, circumstances, { rcode: DNS_RCODE.REFUSED }) };
  const zone = zoneOf(zones, question.name);
  if (zone === undefined) return circumstances.hasUpstream ? { kind: "forward" } : serverFailure(query, circumstances);
  // Never NXDOMAIN before everything is known: clients would believe it.
  if (!circumstances.synced) return serverFailure(query, circumstances);
  const finding = lookup(zones, zone, question.name, type);
  // Reverse names are not ours alone: what we do not know may be known upstream.
  if (finding.kind === "nxdomain" && zone !== zones.options.clusterDomain && circumstances.hasUpstream) return { kind: "forward" };
  if (finding.kind === "alias") return new Aliases(zones, query, circumstances).follow(question, finding.target);
  const reply = replyTo(query, circumstances, { authoritative: true, ...sections(zones, zone, finding) });
  const madeFrom = finding.kind === "nxdomain" ? undefined : finding.madeFrom;
  return { kind: "reply", reply, ...(madeFrom === undefined ? {} : { madeFrom }) };
}

export function replyTo(query: DnsMessage, circumstances: Circumstances, parts: Partial<DnsMessage>): DnsMessage {
  return dnsMessage({
    id: query.id,
    response: true,
    opcode: query.opcode,
    recursionDesired: query.recursionDesired,
    recursionAvailable: circumstances.hasUpstream,
    checkingDisabled: query.checkingDisabled,
    questions: query.questions,
    ...parts,
  });
}

function serverFailure(query: DnsMessage, circumstances: Circumstances): Answer {
  return { kind: "reply", reply: replyTo(query, circumstances, { rcode: DNS_RCODE.SERVFAIL }) };
}

/** A finding other than an alias, as a reply's sections. Every negative one carries the SOA record, which says how long to remember it (RFC 2308). */
function sections(zones: Zones, zone: string, finding: Exclude<Finding, { kind: "alias" }>): Partial<DnsMessage> {
  if (finding.kind === "records") return { answers: finding.records, additionals: finding.additionals ?? [] };
  const rcode = finding.kind === "nxdomain" ? DNS_RCODE.NXDOMAIN : DNS_RCODE.NOERROR;
  return { rcode, authorities: [soaRecord(zones, zone)] };
}

/** Follows ExternalName Services: in the cluster as far as they go, then upstream. */
class Aliases {
  readonly #zones: Zones;
  readonly #circumstances: Circumstances;
  readonly #reply: (parts: Partial<DnsMessage>) => DnsMessage;
  readonly #chain: DnsRecord[] = [];
  readonly #seen = new Set<string>();

  constructor(zones: Zones, query: DnsMessage, circumstances: Circumstances) {
    this.#zones = zones;
    this.#circumstances = circumstances;
    this.#reply = (parts) => replyTo(query, circumstances, { authoritative: true, ...parts });
  }

  follow(question: DnsQuestion, firstTarget: string): Answer {
    let owner = question.name;
    let target = firstTarget;
    for (;;) {
      this.#seen.add(owner);
      // A loop leads nowhere: the name exists, without addresses.
      if (this.#seen.has(target) || this.#chain.length >= MAX_ALIASES) return this.#nothing();
      this.#chain.push({ name: owner, ttlSeconds: this.#zones.options.ttlSeconds, type: "CNAME", target });
      if (question.type === DNS_TYPE.CNAME) return this.#done();
      const zone = zoneOf(this.#zones, target);
      if (zone === undefined) return this.#leave(target);
      const finding = lookup(this.#zones, zone, target, question.type);
      if (finding.kind !== "alias") {
        const found = sections(this.#zones, zone, finding);
        return { kind: "reply", reply: this.#reply({ ...found, answers: [...this.#chain, ...(found.answers ?? [])] }) };
      }
      owner = target;
      target = finding.target;
    }
  }

  #nothing(): Answer {
    return { kind: "reply", reply: this.#reply({ authorities: [soaRecord(this.#zones, this.#zones.options.clusterDomain)] }) };
  }

  #done(): Answer {
    return { kind: "reply", reply: this.#reply({ answers: this.#chain }) };
  }

  /** Without an upstream the alias is all that we can say, and it is true. */
  #leave(target: string): Answer {
    if (!this.#circumstances.hasUpstream) return this.#done();
    return { kind: "complete", target, reply: this.#reply({ answers: this.#chain }) };
  }
}

/** Completes the reply to an alias with what the upstream said of its target; undefined: the upstream said nothing. */
export function completeAlias(reply: DnsMessage, upstream: DnsMessage | undefined): DnsMessage {
  if (upstream === undefined) return { ...reply, rcode: DNS_RCODE.SERVFAIL };
  // Records of other types may hold compressed names, which would point nowhere in our message.
  const known = (records: readonly DnsRecord[]): DnsRecord[] => records.filter((record) => record.type !== "other");
  return {
    ...reply,
    rcode: upstream.rcode,
    // The client must ask again over TCP to see the rest.
    truncated: upstream.truncated,
    answers: [...reply.answers, ...known(upstream.answers)],
    authorities: upstream.answers.length === 0 ? known(upstream.authorities).filter((record) => record.type === "SOA") : [],
  };
}
