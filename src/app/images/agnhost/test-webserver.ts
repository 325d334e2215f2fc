// `agnhost test-webserver`: the files of the container over HTTP.
import { createReadStream, readdirSync, statSync } from "node:fs";
import { extname, join, normalize } from "node:path";
import { parseFlags } from "./flags.ts";
import { sendText, serveRoutes } from "./http.ts";
import { fatal } from "./output.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".json": "application/json",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};

/** What lets a page that came through the API server's proxy ask this server. */
const CORS: Readonly<Record<string, string>> = {
  "cache-control": "private",
  "access-control-allow-origin": "*",
  "access-control-allow-credentials": "true",
  "access-control-allow-methods": "GET, POST, OPTIONS",
};

export function testWebserver(args: readonly string[]): void {
  const { values } = parseFlags(args, { port: 80 });
  const server = serveRoutes({
    "/": ({ res, url }) => {
      for (const [name, value] of Object.entries(CORS)) res.setHeader(name, value);
      const path = join("/", normalize(decodeURIComponent(url.pathname)));
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return sendText(res, "404 page not found\n", 404);
      if (stat.isDirectory()) {
        const names = readdirSync(path, { withFileTypes: true }).map((entry) => `${entry.name}${entry.isDirectory() ? "/" : ""}`);
        res.setHeader("content-type", "text/html; charset=utf-8");
        res.end(`<pre>\n${names.map((name) => `<a href="${encodeURI(name)}">${escapeHtml(name)}</a>\n`).join("")}</pre>\n`);
        return;
      }
      res.setHeader("content-type", TYPES[extname(path)] ?? "text/plain; charset=utf-8");
      createReadStream(path)
        .on("error", (err) => res.destroy(err))
        .pipe(res);
    },
  });
  server.on("error", (err) => fatal(err.message));
  server.listen(values.port);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
}
