// `agnhost guestbook`: the three tiers of the well-known guestbook example in one program. A primary stores, replicas subscribe to
// it with --replicaof, and a front end passes `set` to `agnhost-primary` and `get` to `agnhost-replica`.
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { parseFlags } from "./flags.ts";
import { type Call, httpGet, sendText, serveRoutes } from "./http.ts";
import { fatal, joinHostPort, log } from "./output.ts";

const REGISTER_TIMEOUT_MS = 15_000;
const RETRY_MS = 1000;

interface Book {
  store: Record<string, unknown>;
  readonly replicas: string[];
  readonly backendPort: string;
}

export function guestbook(args: readonly string[]): void {
  const { values } = parseFlags(args, { "http-port": "80", "backend-port": "6379", replicaof: "" });
  const book: Book = { store: {}, replicas: [], backendPort: values["backend-port"] };
  if (values.replicaof !== "") void register(book, values.replicaof);
  const server = serveRoutes({
    "/register": (call) => {
      log(`GET /register?host=${call.param("host")}`);
      sendText(call.res, JSON.stringify({ data: book.store }));
      book.replicas.push(call.param("host"));
    },
    "/get": ({ res, param }) => {
      log(`GET /get?key=${param("key")}`);
      sendText(res, JSON.stringify({ data: param("key") === "" ? book.store : (book.store[param("key")] ?? "") }));
    },
    "/set": (call) => set(book, call),
    "/guestbook": (call) => forward(book, call),
  });
  server.on("error", (err) => fatal(err.message));
  server.listen(Number(values["http-port"]));
}

async function register(book: Book, primary: string): Promise<void> {
  const started = performance.now();
  while (performance.now() - started < REGISTER_TIMEOUT_MS) {
    try {
      const answer: unknown = JSON.parse(await httpGet(primary, book.backendPort, `register?host=${await localAddress(primary)}`));
      const data = typeof answer === "object" && answer !== null && "data" in answer ? answer.data : {};
      book.store = { ...(data as Record<string, unknown>) };
      log(`Registered to node: ${primary}`);
      return;
    } catch (err) {
      log(`encountered error while registering to primary: ${String(err)}. Retrying in 1s.`);
      await sleep(RETRY_MS);
    }
  }
  fatal("Timed out while registering to primary.");
}

/** The address from which this machine would talk to `host`. */
async function localAddress(host: string): Promise<string> {
  const { address, family } = await lookup(host);
  const socket = createSocket(family === 6 ? "udp6" : "udp4");
  await new Promise<void>((resolve) => socket.connect(9, address, resolve));
  const local = socket.address().address;
  socket.close();
  return local;
}

async function set(book: Book, { res, param }: Call): Promise<void> {
  const [key, value] = [param("key"), param("value")];
  log(`GET /set?key=${key}&value=${value}`);
  if (key === "") return sendText(res, "cannot set with empty key.\n", 400);
  book.store[key] = value;
  for (const replica of book.replicas) {
    try {
      await httpGet(replica, book.backendPort, `set?${new URLSearchParams({ key, value }).toString()}`);
    } catch (err) {
      return sendText(
        res,
        `encountered error while propagating to replica '${joinHostPort(replica, book.backendPort)}': ${String(err)}\n`,
        417,
      );
    }
  }
  sendText(res, JSON.stringify({ message: "Updated" }));
}

async function forward(book: Book, { res, param }: Call): Promise<void> {
  const cmd = param("cmd").toLowerCase();
  const [key, value] = [param("key"), param("value")];
  log(`GET /guestbook?cmd=${cmd}&key=${key}&value=${value}`);
  if (cmd !== "get" && cmd !== "set") return sendText(res, `unsupported cmd: '${cmd}'\n`, 400);
  if (cmd === "set" && key === "") return sendText(res, "cannot set with empty key.\n", 400);
  try {
    const host = cmd === "get" ? "agnhost-replica" : "agnhost-primary";
    sendText(res, await httpGet(host, book.backendPort, `${cmd}?${new URLSearchParams({ key, value }).toString()}`));
  } catch (err) {
    sendText(res, `encountered error: ${String(err)}\n`, 417);
  }
}
