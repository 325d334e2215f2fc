// The DNS step of a trace: the way to the name server, and what it says.
import { type Addr, formatAddr } from "#ip";
import { DNS_RCODE, DNS_TYPE, decodeDns, dnsMessage, dnsRcodeName, encodeDns } from "#wire";
import { sendProbe } from "./observe.ts";
import { toAddress, type Wanted } from "./question.ts";
import { type TraceInput, traceLeg } from "./trace.ts";
import type { Ask, Cause, Leg, NameLookup, Resolved, Trace } from "./types.ts";

export interface NamedTrace {
  readonly dns: NonNullable<Trace["dns"]>;
  /** The question with the address that the name has. */
  askFor(resolved: Extract<Resolved, { kind: "lookup" }>): Ask | undefined;
}

/** With probes the server is asked, candidate for candidate; without, only the way to it is looked at. */
export async function traceName(lookup: NameLookup, input: TraceInput): Promise<NamedTrace> {
  const [first = lookup.name] = lookup.candidates;
  const leg = await traceLeg(lookup.ask, input, queryFor(first, lookup));
  const lost = blocked(leg);
  if (lost !== undefined) return { dns: { name: lookup.name, leg, cause: lost }, askFor: () => undefined };
  if (!input.probes) return { dns: { name: lookup.name, leg }, askFor: () => undefined };
  const said = await resolve(lookup, input);
  const dns = {
    name: lookup.name,
    leg,
    ...(said.answer !== undefined && { answer: said.answer }),
    ...(said.cause && { cause: said.cause }),
  };
  return { dns, askFor: (resolved) => (said.addr === undefined ? undefined : askAt(said.addr, resolved, input)) };
}

function askAt(addr: Addr, { lookup, port, protocol }: Extract<Resolved, { kind: "lookup" }>, { objects }: TraceInput): Ask | undefined {
  const wanted: Wanted = { from: lookup.ask.from, family: addr.family, isFamilyGiven: true, protocol, ...(port !== undefined && { port }) };
  const resolved = toAddress(addr, wanted, objects);
  return resolved.kind === "ask" ? resolved.ask : undefined;
}

function blocked({ observed, predicted, ask }: Leg): Cause | undefined {
  const verdict = observed?.verdict ?? predicted.verdict;
  if (verdict === "allowed" || verdict === "depends") return undefined;
  const cause = observed?.cause ?? predicted.cause;
  const code = verdict === "refused" ? "dns refused" : "dns blocked";
  return { ...(cause ?? { facts: [] }), code, sentence: `the name cannot be asked for at ${ask.text}: ${cause?.sentence ?? "no answer"}` };
}

const ID = 0x6661;

function queryFor(name: string, { family }: NameLookup): Uint8Array {
  const query = dnsMessage({
    id: ID,
    recursionDesired: true,
    questions: [{ name, type: family === 4 ? DNS_TYPE.A : DNS_TYPE.AAAA, class: 1 }],
  });
  return encodeDns(query);
}

interface Said {
  readonly addr?: Addr;
  readonly answer?: string;
  readonly cause?: Cause;
}

async function resolve(lookup: NameLookup, { doors }: TraceInput): Promise<Said> {
  const facts: string[] = [];
  for (const candidate of lookup.candidates) {
    const { outcome, firstBytes } = await sendProbe(doors, lookup, { payload: queryFor(candidate, lookup) });
    if (outcome !== "answered" || firstBytes === undefined) {
      facts.push(`${candidate}: ${outcome}`);
      continue;
    }
    const { rcode, answers } = decodeDns(firstBytes);
    const addr = answers
      .flatMap((record) => (record.type === "A" || record.type === "AAAA" ? record.address : []))
      .find(({ family }) => family === lookup.family);
    if (addr !== undefined) return { addr, answer: `${candidate} is ${formatAddr(addr)}` };
    facts.push(`${candidate}: ${rcode === DNS_RCODE.NOERROR ? "no address of this family" : dnsRcodeName(rcode)}`);
  }
  const sentence = `the name server knows no ${lookup.family === 4 ? "IPv4" : "IPv6"} address of ${lookup.name}`;
  return { cause: { code: "no such name", sentence, facts } };
}
