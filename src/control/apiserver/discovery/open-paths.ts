// What anybody may ask, without credentials: whether the server is there, and which version it is.
import type { IncomingMessage, ServerResponse } from "node:http";
import { sendText } from "../http/respond.ts";

/** The version of the Kubernetes API that we claim; clients derive from it what they may use. */
const VERSION = {
  major: "1",
  minor: "33",
  gitVersion: "v1.33.0",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
};

const HEALTH: ReadonlySet<string> = new Set(["/healthz", "/livez", "/readyz"]);

/** false: not one of these paths. */
export function answerOpenPath(req: IncomingMessage, res: ServerResponse, pathname: string): boolean {
  const root = `/${pathname.split("/")[1] ?? ""}`;
  if (HEALTH.has(root)) {
    const verbose = req.url?.includes("verbose") === true;
    sendText(res, 200, verbose ? `[+]ping ok\n[+]store ok\n${root.slice(1)} check passed\n` : "ok");
    return true;
  }
  if (pathname !== "/version") return false;
  const body = JSON.stringify(VERSION, null, 2);
  res.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-cache, private",
  });
  res.end(body);
  return true;
}
