// Who asks: a client certificate of our CA, a static token, or a service account's token.
import type { IncomingMessage } from "node:http";
import type { PeerCertificate, TLSSocket } from "node:tls";
import type { Registry, User } from "../registry/types.ts";
import { unauthorized } from "../status.ts";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";

const AUTHENTICATED = "system:authenticated";

export interface AuthenticatorOptions {
  readonly tokens: ReadonlyMap<string, User>;
  readonly serviceAccounts: ServiceAccountTokens;
  readonly registry: Registry;
}

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  /** Certificates are read once per connection. */
  readonly #certificates = new WeakMap<object, User | "none">();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** Throws Unauthorized. A token, where there is one, decides alone. */
  authenticate(req: IncomingMessage): User {
    const header = req.headers.authorization;
    const token = header === undefined ? webSocketToken(req) : /^bearer\s+(?<token>\S+)$/i.exec(header)?.groups?.["token"];
    const user = token === undefined ? this.#ofCertificate(req) : this.byToken(token);
    if (user === undefined) throw unauthorized();
    return user;
  }

  byToken(token: string, audiences?: readonly string[]): User | undefined {
    const { tokens, serviceAccounts, registry } = this.#options;
    const known = tokens.get(token);
    if (known !== undefined) return withGroup(known);
    return serviceAccounts.authenticate(token, registry, audiences);
  }

  #ofCertificate(req: IncomingMessage): User | undefined {
    const socket = req.socket as TLSSocket;
    let user = this.#certificates.get(socket);
    if (user === undefined) {
      user = socket.authorized === true ? (userOf(socket.getPeerCertificate()) ?? "none") : "none";
      this.#certificates.set(socket, user);
    }
    return user === "none" ? undefined : user;
  }
}

/** CN is the user, each O a group (kube-apiserver's x509 CommonNameUserConversion). */
function userOf(certificate: PeerCertificate): User | undefined {
  // Node gives several O's as a list, whatever its types say.
  const { CN, O: organisations } = certificate.subject as unknown as { CN?: string | string[]; O?: string | string[] };
  const name = Array.isArray(CN) ? CN[0] : CN;
  if (name === undefined) return undefined;
  return withGroup({ name, uid: "", groups: organisations === undefined ? [] : [organisations].flat() });
}

function withGroup(user: User): User {
  return user.groups.includes(AUTHENTICATED) ? user : { ...user, groups: [...user.groups, AUTHENTICATED] };
}

/** Browsers cannot set headers on WebSockets: the token may come as a subprotocol (apiserver `authentication/request/websocket`). */
function webSocketToken(req: IncomingMessage): string | undefined {
  const protocols = req.headers["sec-websocket-protocol"]?.split(",") ?? [];
  const prefix = "base64url.bearer.authorization.k8s.io.";
  const found = protocols.map((protocol) => protocol.trim()).find((protocol) => protocol.startsWith(prefix));
  return found === undefined ? undefined : Buffer.from(found.slice(prefix.length), "base64url").toString("utf8");
}
