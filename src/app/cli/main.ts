// The command line. Each command is loaded when it is called: a start that reads only what it needs takes a third of the time.
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { errorMessage } from "#base";
import { DEFAULT_NAME, nameProblem } from "./home.ts";
import { paint } from "./terminal.ts";
import { VERSION } from "./version.ts";

const program = new Command("fairlead")
  .description("The Kubernetes network, whole, on one Linux machine: nodes and pods are real network namespaces.")
  .version(VERSION, "-V, --version")
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError("(fairlead --help shows the usage)")
  .exitOverride();

const clusterOption = (): Option => new Option("--name <name>", "the cluster's name").default(DEFAULT_NAME).argParser(clusterName);
const namespaceOption = (): Option => new Option("-n, --namespace <namespace>", "the objects' namespace").default("default");
const fileOption = (): Option => new Option("-f, --filename <path...>", "manifests: a file, a directory, or - for standard input");
const proxyModeOption = (): Option =>
  new Option("--proxy-mode <mode>", "how nodes make Services").choices(["nftables", "iptables", "ipvs"]).default("nftables");

function clusterName(text: string): string {
  const problem = nameProblem(text);
  if (problem !== undefined) throw new InvalidArgumentError(problem);
  return text;
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** What an error makes of the exit code. */
let errorCode = 1;

/** Of these commands 1 is an answer, such as "refused" or "an expectation does not hold": 2 is none. */
async function answer(run: () => Promise<number>): Promise<void> {
  errorCode = 2;
  process.exitCode = await run();
}

program
  .command("up")
  .description("start a cluster; returns when its nodes are Ready and a Service name resolves")
  .addOption(clusterOption())
  .option("--nodes <n>", "how many nodes", integer(1, 200), 3)
  .addOption(new Option("--ip-family <family>", "address families of pods and Services").choices(["ipv4", "ipv6", "dual"]).default("dual"))
  .addOption(new Option("--overlay <backend>", "how pod traffic crosses between nodes").choices(["vxlan", "host-gw"]).default("vxlan"))
  .addOption(proxyModeOption())
  .addOption(
    new Option("--policy-established <what>", "what becomes of flows that a policy no longer allows")
      .choices(["cut", "keep"])
      .default("cut"),
  )
  .option("--api-port <port>", "port of the API on the host's loopback; 0 is a free one", integer(0, 65535), 0)
  .option("--foreground", "stay, and remove the cluster at Ctrl-C", false)
  .action(async (options) => (await import("./commands/up.ts")).up(options));

program
  .command("down")
  .description("remove a cluster and everything it made")
  .addOption(clusterOption())
  .option("--all", "remove every cluster of this user", false)
  .action(async (options) => (await import("./commands/down.ts")).down(options));

program
  .command("status")
  .description("nodes, addresses, and the processes of a cluster")
  .addOption(clusterOption())
  .addOption(new Option("-o, --output <format>", "output format").choices(["text", "json"]).default("text"))
  .action(async (options) => (await import("./commands/status.ts")).status(options));

program
  .command("service <name>")
  .description("what each node does for a Service: its addresses, who is behind them and why, remembered clients, live flows")
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .option("--node <node>", "only this node")
  .addOption(new Option("-o, --output <format>", "output format").choices(["text", "wide", "json", "yaml"]).default("text"))
  .action(async (service, options) => (await import("./commands/service.ts")).service(service, options));

program
  .command("trace <from> <to>")
  .description("what should happen to a packet, hop by hop, what does, and why: trace web svc/api, trace outside node/node-1:30080")
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .option("--port <port>", "80, 53/udp, or the name of a port")
  .addOption(new Option("-p, --protocol <protocol>", "instead of the port's own").choices(["tcp", "udp", "sctp", "icmp"]))
  .option("-4, --ipv4", "over IPv4", false)
  .addOption(new Option("-6, --ipv6", "over IPv6").default(false).conflicts("ipv4"))
  .option("--no-probe", "only predict: send nothing")
  .addOption(new Option("-o, --output <format>", "output format").choices(["text", "json"]).default("text"))
  .action(async (from: string, to: string, options) => {
    await answer(async () => (await import("./commands/trace.ts")).trace(from, to, options));
  });

const watching = program.command("watch").description("what happens in a cluster, as it happens");

watching
  .command("drops")
  .description("connections that policies refuse: whose, and by which policies")
  .addOption(clusterOption())
  .option("-n, --namespace <namespace>", "only those with a pod of it at an end")
  .option("--node <node>", "only what this node refuses")
  .addOption(new Option("-o, --output <format>", "output format").choices(["text", "json"]).default("text"))
  .option("--count <n>", "end after so many", integer(1, 1_000_000))
  .option("--timeout <seconds>", "end after so many seconds; with --count it is a failure then", integer(1, 86_400))
  .action(async (options) => {
    await answer(async () => (await import("./commands/watch.ts")).watchDrops(options));
  });

program
  .command("explain")
  .description("what policies say of a connection: who isolates, the nearest rules, the smallest fix")
  .argument("<from>", "a pod, namespace/pod, an address; or - for a line of `watch drops -o json`")
  .argument("[to]", "a pod, namespace/pod or address, with :port")
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .addOption(new Option("--protocol <protocol>", "of the connection").choices(["tcp", "udp", "sctp"]).default("tcp"))
  .option("--port <port>", "of the destination")
  .option("-6, --ipv6", "over IPv6", false)
  .addOption(new Option("-o, --output <format>", "output format").choices(["text", "json"]).default("text"))
  .action(async (from: string, to: string | undefined, options) => {
    await answer(async () => (await import("./commands/explain.ts")).explain(from, to, options));
  });

program
  .command("kubeconfig")
  .description("print the kubeconfig of a cluster")
  .addOption(clusterOption())
  .action(async (options) => (await import("./commands/kubeconfig.ts")).printKubeconfig(options.name));

program
  .command("apply")
  .description("create or change objects from manifests")
  .addOption(fileOption().makeOptionMandatory())
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .action(async (options) => (await import("./commands/apply.ts")).apply(options));

program
  .command("get")
  .description("show objects: get pods, get svc front, get deploy/api -o yaml")
  .argument("<resource...>", "a resource and names, or resource/name")
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .option("-A, --all-namespaces", "in all namespaces", false)
  .option("-l, --selector <selector>", "only objects with these labels")
  .option("--field-selector <selector>", "only objects with these fields")
  .addOption(new Option("-o, --output <format>", "output format").choices(["wide", "json", "yaml", "name"]))
  .action(async (args: string[], options) => (await import("./commands/get.ts")).get(args, { output: "table", ...options }));

program
  .command("delete")
  .description("delete objects, by name or as the manifests name them")
  .argument("[resource...]", "a resource and names, or resource/name")
  .addOption(fileOption().default([]))
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .option("--grace-period <seconds>", "time for a pod to end by itself", integer(0, 86_400))
  .option("--ignore-not-found", "absent objects are no error", false)
  .action(async (args: string[], options, command: Command) => {
    if (args.length < 2 && !(args[0] ?? "").includes("/") && options.filename.length === 0) {
      command.error("error: say what to delete: a resource and a name, resource/name, or -f FILE");
    }
    const { deleteObjects } = await import("./commands/delete.ts");
    if (!(await deleteObjects(args, options))) process.exitCode = 1;
  });

program
  .command("logs")
  .description("what a container wrote")
  .argument("<pod>")
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .option("-c, --container <container>")
  .option("-f, --follow", "go on while it writes", false)
  .option("-p, --previous", "of the container's previous run", false)
  .option("--timestamps", "with the time of each line", false)
  .option("--tail <lines>", "only the last lines", integer(0, 1_000_000))
  .action(async (pod: string, options) => (await import("./commands/logs.ts")).logs(pod, options));

program
  .command("exec")
  .description("run a command in a container: exec web -- cat /etc/resolv.conf")
  .argument("<pod>")
  .argument("<command...>", "after --")
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .option("-c, --container <container>")
  .option("-i, --stdin", "pass standard input on", false)
  .option("-t, --tty", "standard input is a terminal", false)
  .action(async (pod: string, command: string[], options) => {
    process.exitCode = await (await import("./commands/exec.ts")).exec(pod, command, options);
  });

program
  .command("agent")
  .description("run Fairlead's part of a real node, in place of kube-proxy; in the foreground, until SIGTERM")
  .optionsGroup("What runs:")
  .addOption(new Option("--only <part>", "the part that runs; the others are for sandboxes").choices(["proxy"]))
  .addOption(proxyModeOption())
  .option("--node-name <name>", "the name of this node's Node (default: the host name)")
  .addOption(new Option("--log-format <format>", "auto is text on a terminal").choices(["auto", "json", "text"]).default("auto"))
  .optionsGroup("The cluster:")
  .option("--kubeconfig <file>", "where the API server is (default: the service account of the pod that this runs in)")
  .option("--server <url>", "reach the API server here instead: a pod's own way to it is a Service, which this agent is to make first")
  .option("--cluster-cidr <blocks>", "where pods have their addresses from: A,B (default: the Pod CIDRs of all Nodes)")
  .addOption(
    new Option("--detect-local-mode <mode>", "without --cluster-cidr: the Pod CIDRs of all Nodes, or of this one")
      .choices(["ClusterCIDR", "NodeCIDR"])
      .default("ClusterCIDR"),
  )
  .option("--service-cidr <blocks>", "where Services have their addresses from: A,B (default: the cluster's ServiceCIDR objects)")
  .option(
    "--nodeport-addresses <list>",
    "where NodePorts answer: primary (the Node's addresses), or at addresses in the blocks A,B",
    "primary",
  )
  .option("--localhost-nodeports", "TCP NodePorts answer at 127.0.0.1 and ::1 too, through this process", false)
  .optionsGroup("Who asks how it is:")
  .option("--healthz-bind-address <address:port>", 'of /healthz and /livez, "" is none (default: 0.0.0.0:10256 and [::]:10256)')
  .option("--metrics-bind-address <address:port>", 'of /metrics and /proxyMode, "" is none (default: 127.0.0.1:10249)')
  .optionsGroup("Instead:")
  .option("--cleanup", "remove what agents have left in this machine's network, say what it was, and end", false)
  .action(async (options) => {
    process.exitCode = await (await import("./commands/agent.ts")).agent(options);
  });

program
  .command("what-if")
  .description("what a change would make of who reaches whom, before it is made; works on any cluster, reads only")
  .addOption(fileOption().makeOptionMandatory())
  .addOption(clusterOption())
  .addOption(namespaceOption())
  .option("--delete", "the manifests' objects go, instead of coming", false)
  .option("--fail-on <file>", "expectations; where one would not hold, the exit code is 1 and a packet shows why")
  .option("--context <context>", "a cluster of the kubeconfig instead of one of Fairlead's")
  .option("--kubeconfig <file>", "where that cluster is (default: $KUBECONFIG, ~/.kube/config)")
  .addOption(new Option("-o, --output <format>", "output format").choices(["text", "wide", "json"]).default("text"))
  .action(async (options) => {
    await answer(async () => (await import("./commands/what-if.ts")).whatIfCommand(options));
  });

program
  .command("check")
  .description("numbered checks of the live network: each says what it proves, what is wrong and what to do; changes nothing")
  .addOption(clusterOption())
  .option("--only <numbers>", "only these: 3,7 or 5-9")
  .option("--list", "say which checks there are", false)
  .option("--no-probe", "send nothing: leaves out the checks that prove by sending")
  .addOption(new Option("-o, --output <format>", "output format").choices(["text", "json"]).default("text"))
  .action(async (options) => {
    await answer(async () => (await import("./commands/check.ts")).check(options));
  });

program
  .command("reach")
  .description("the truth table of who reaches whom, as policies have it; with --probe also as real connections have it")
  .addOption(clusterOption())
  .option("-n, --namespace <namespace>", "only pods of this namespace")
  .option("--from <selector>", "only from pods with these labels")
  .option("--to <selector>", "only to pods with these labels")
  .option("--port <port...>", "ports: 80, 53/udp", ["80/tcp"])
  .option("--probe", "make real connections too; where one is not as foreseen, the exit code is 1", false)
  .option("--context <context>", "a cluster of the kubeconfig instead of one of Fairlead's")
  .option("--kubeconfig <file>", "where that cluster is (default: $KUBECONFIG, ~/.kube/config)")
  .addOption(new Option("-o, --output <format>", "output format").choices(["text", "wide", "json"]).default("text"))
  .action(async (options) => {
    await answer(async () => (await import("./commands/reach.ts")).reachCommand(options));
  });

program
  .command("demo")
  .description("start a cluster, deploy a small shop, and show who answered where; removes the cluster unless it was there or --keep")
  .addOption(clusterOption().default("demo"))
  .option("--keep", "leave the cluster running", false)
  .action(async (options) => (await import("./commands/demo.ts")).demo(options));

// `fairlead get pods | head`: who reads has seen enough. What goes on without its messages (`up 2>&1 | head`) goes on.
process.stdout.on("error", (err: NodeJS.ErrnoException) => process.exit(err.code === "EPIPE" ? 0 : 1));
process.stderr.on("error", () => {});

try {
  await program.parseAsync();
} catch (err) {
  if (err instanceof CommanderError) process.exitCode = err.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(`${paint("red", "error:", process.stderr)} ${errorMessage(err)}\n`);
    if (process.env["FAIRLEAD_DEBUG"] !== undefined && err instanceof Error) process.stderr.write(`${err.stack ?? ""}\n`);
    process.exitCode = errorCode;
  }
}
