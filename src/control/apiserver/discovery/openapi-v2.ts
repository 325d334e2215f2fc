// OpenAPI v2 is not made. kubectl before 1.29 fetches it before it does anything with a manifest, then does not look into it, because OpenAPI v3
// tells it that the server validates fields itself; it only gives up when the download fails. So there is a document, without content:
// zero bytes are the empty gnostic `openapi.v2.Document`.
import type { IncomingMessage, ServerResponse } from "node:http";

// Clients ask for "…spec.v2@v1.0+protobuf", which Go's own parser of media types does not take as an answer.
const PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const EMPTY = { swagger: "2.0", info: { title: "Kubernetes", version: "v1.33.0" }, paths: {}, definitions: {} };

export function answerOpenApiV2(req: IncomingMessage, res: ServerResponse): void {
  const isProtobuf = req.headers.accept?.includes("proto-openapi") === true;
  const body = isProtobuf ? "" : JSON.stringify(EMPTY);
  res.writeHead(200, { "content-type": isProtobuf ? PROTOBUF : "application/json", "content-length": Buffer.byteLength(body) });
  res.end(body);
}
