// `agnhost liveness`: healthy for ten seconds, so that a liveness probe has something to find.
import { parseFlags } from "./flags.ts";
import { sendText, serveRoutes } from "./http.ts";
import { fatal } from "./output.ts";

const HEALTHY_MS = 10_000;
const PORT = 8080;

export function liveness(args: readonly string[]): void {
  parseFlags(args, {});
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const server = serveRoutes({
    "/": ({ res }) => sendText(res, "404 page not found\n", 404),
    "/started": ({ res }) => sendText(res, `${seconds()}s`),
    "/healthz": ({ res }) => {
      if (seconds() * 1000 > HEALTHY_MS) sendText(res, `error: ${seconds()}`, 500);
      else sendText(res, "ok");
    },
    "/redirect": ({ res, param }) => {
      res.writeHead(302, { location: decodeURIComponent(param("loc")) });
      res.end();
    },
  });
  server.on("error", (err) => fatal(err.message));
  server.listen(PORT);
}
