// What `agnhost` can do: the subcommands of registry.k8s.io/e2e-test-images/agnhost that network tests and examples use, written
// anew (facts: kubernetes/kubernetes test/images/agnhost/README.md). Each is imported only when it is asked for: a program that
// says `connect` needs no HTTP server in memory.
import { FlagError } from "./flags.ts";

type Run = (args: readonly string[]) => Promise<void> | void;

interface Command {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Run>;
}

export const COMMANDS: readonly Command[] = [
  {
    name: "connect",
    summary: "opens a TCP or UDP connection and says why not: TIMEOUT, REFUSED, DNS, OTHER",
    load: async () => (await import("./connect.ts")).connect,
  },
  {
    name: "dns-server-list",
    summary: "prints the DNS servers of /etc/resolv.conf",
    load: async () => (await import("./files.ts")).dnsServerList,
  },
  {
    name: "dns-suffix",
    summary: "prints the search list of /etc/resolv.conf",
    load: async () => (await import("./files.ts")).dnsSuffix,
  },
  {
    name: "entrypoint-tester",
    summary: "prints its arguments",
    load: async () => (await import("./files.ts")).entrypointTester,
  },
  { name: "etc-hosts", summary: "prints /etc/hosts", load: async () => (await import("./files.ts")).etcHosts },
  {
    name: "guestbook",
    summary: "a guestbook: a front end, a primary store and replicas",
    load: async () => (await import("./guestbook.ts")).guestbook,
  },
  {
    name: "liveness",
    summary: "a server that is healthy for 10 seconds",
    load: async () => (await import("./liveness.ts")).liveness,
  },
  {
    name: "logs-generator",
    summary: "writes numbered lines to its log",
    load: async () => (await import("./files.ts")).logsGenerator,
  },
  {
    name: "netexec",
    summary: "HTTP and UDP servers that answer who they are, who asked, and dial others",
    load: async () => (await import("./netexec.ts")).netexec,
  },
  { name: "pause", summary: "waits for SIGTERM", load: async () => (await import("./files.ts")).pause },
  {
    name: "port-forward-tester",
    summary: "sends chunks of data to the first client",
    load: async () => (await import("./port-forward-tester.ts")).portForwardTester,
  },
  {
    name: "porter",
    summary: "serves the values of SERVE_PORT_n, SERVE_TCP_PORT_n, SERVE_UDP_PORT_n, SERVE_TLS_PORT_n",
    load: async () => (await import("./porter.ts")).porter,
  },
  {
    name: "serve-hostname",
    summary: "serves the host name over HTTP, TCP or UDP",
    load: async () => (await import("./serve-hostname.ts")).serveHostname,
  },
  {
    name: "tcp-reset",
    summary: "reads one byte of a connection and closes it",
    load: async () => (await import("./porter.ts")).tcpReset,
  },
  {
    name: "test-webserver",
    summary: "serves the files of this machine over HTTP",
    load: async () => (await import("./test-webserver.ts")).testWebserver,
  },
];

export function helpText(): string {
  const lines = COMMANDS.map((command) => `  ${command.name.padEnd(20)} ${command.summary}`);
  return `Usage: agnhost COMMAND [FLAGS]\n\n${lines.join("\n")}\n`;
}

/** Runs one subcommand; a wrong one or wrong flags end the program with code 1, as the original does. */
export async function runAgnhost(argv: readonly string[]): Promise<void> {
  const [name = "help", ...args] = argv;
  if (name === "help" || name === "--help" || name === "-h") {
    process.stdout.write(helpText());
    return;
  }
  if (name === "--version") {
    process.stdout.write("agnhost version 2.52\n");
    return;
  }
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) {
    process.stderr.write(`Error: unknown command "${name}" for "app"\nThis agnhost has: ${COMMANDS.map((c) => c.name).join(", ")}\n`);
    process.exit(1);
  }
  const run = await command.load();
  try {
    await run(args);
  } catch (err) {
    if (!(err instanceof FlagError)) throw err;
    process.stderr.write(`Error: ${err.message}\n`);
    process.exit(1);
  }
}
