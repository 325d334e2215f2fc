// netexec's /dial: asks another server, `tries` times, and reports what came back as {"responses":[…],"errors":[…]}.
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { type Call, httpGet, sendText } from "./http.ts";
import { joinHostPort, log } from "./output.ts";

const UDP_TIMEOUT_MS = 5000;

type Dialer = (request: string, address: string, port: number) => Promise<string>;

const DIALERS: Readonly<Record<string, Dialer>> = {
  "": (request, address, port) => httpGet(address, port, request),
  http: (request, address, port) => httpGet(address, port, request),
  udp: dialUdp,
};

export async function dial({ res, param }: Call): Promise<void> {
  const [host, port, request, protocol, triesText] = ["host", "port", "request", "protocol", "tries"].map(param) as [
    string,
    string,
    string,
    string,
    string,
  ];
  log(`GET /dial?host=${host}&protocol=${protocol}&port=${port}&request=${request}&tries=${triesText}`);
  if (triesText !== "" && !/^\d+$/.test(triesText)) return sendText(res, `tries parameter is invalid. "${triesText}"\n`, 400);
  if (request === "") return sendText(res, "request parameter not specified.\n", 400);
  const dialer = DIALERS[protocol.toLowerCase()];
  if (dialer === undefined) return sendText(res, `unsupported protocol. ${protocol}\n`, 400);
  const address = await resolve(host, port);
  if (address === undefined) return sendText(res, `host and/or port param are invalid. ${joinHostPort(host, port)}\n`, 400);

  const responses: string[] = [];
  const errors: string[] = [];
  let last = "";
  for (let i = 0; i < (triesText === "" ? 1 : Number(triesText)); i++) {
    last = "";
    try {
      last = await dialer(request, address, Number(port));
      responses.push(last);
    } catch (err) {
      errors.push(err instanceof Error ? err.message : String(err));
    }
  }
  // The original leaves `responses` out when the last answer was empty.
  sendText(res, JSON.stringify({ ...(errors.length > 0 ? { errors } : {}), ...(last !== "" ? { responses } : {}) }));
}

/** The first address, IPv4 before IPv6, as Go's ResolveTCPAddr. */
async function resolve(host: string, port: string): Promise<string | undefined> {
  if (!/^\d+$/.test(port) || Number(port) > 65_535) return undefined;
  try {
    const found = await lookup(host === "" ? "localhost" : host.replace(/^\[|\]$/g, ""), { all: true });
    return (found.find((entry) => entry.family === 4) ?? found[0])?.address;
  } catch {
    return undefined;
  }
}

function dialUdp(request: string, address: string, port: number): Promise<string> {
  return new Promise((resolvePromise, reject) => {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    const fail = (why: string): void => {
      clearTimeout(timer);
      socket.close();
      reject(new Error(`reading from udp connection failed. err:'${why}'`));
    };
    const timer = setTimeout(() => fail(`read udp ${joinHostPort(address, port)}: i/o timeout`), UDP_TIMEOUT_MS);
    socket.on("error", (err) => fail(err.message));
    socket.on("message", (message) => {
      clearTimeout(timer);
      socket.close();
      resolvePromise(message.toString());
    });
    // Connected, so that "port unreachable" arrives as an error.
    socket.connect(port, address, () => socket.send(request));
  });
}
