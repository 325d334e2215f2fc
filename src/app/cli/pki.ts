// The keys of a cluster: a CA, the API server's certificate, the administrator's, and a bearer token for each component.
import "reflect-metadata";
import { randomBytes } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { type ClusterPlan, clusterPaths, componentKubeconfig } from "#sandbox";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const YEAR_MS = 365 * 24 * 3600 * 1000;
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

interface Issued {
  readonly certificate: string;
  readonly key: string;
}

export interface AdminCredentials {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** Writes the files that the components read (`pki/complete` last) and returns what the administrator's kubeconfig holds. */
export async function writePki(plan: ClusterPlan, home: string): Promise<AdminCredentials> {
  const paths = clusterPaths(home);
  mkdirSync(paths.pki, { recursive: true, mode: 0o700 });
  const ca = await createAuthority();
  const server = await ca.issue("CN=kube-apiserver", [
    new ExtendedKeyUsageExtension([SERVER_AUTH]),
    new SubjectAlternativeNameExtension(serverNames(plan)),
  ]);
  const admin = await ca.issue("O=system:masters,CN=kubernetes-admin", [new ExtendedKeyUsageExtension([CLIENT_AUTH])]);
  const serviceAccounts = await ca.issue("CN=service-accounts", []);

  const write = (file: string, text: string): void => writeFileSync(`${paths.pki}/${file}`, text, { mode: 0o600 });
  write("ca.crt", ca.certificate);
  write("apiserver.crt", server.certificate);
  write("apiserver.key", server.key);
  write("service-account.key", serviceAccounts.key);
  write("kubelet-token", randomBytes(24).toString("hex"));
  writeTokens(plan, home, ca.certificate);
  writeFileSync(`${paths.pki}/complete.new`, "");
  renameSync(`${paths.pki}/complete.new`, `${paths.pki}/complete`);
  return { ca: ca.certificate, certificate: admin.certificate, key: admin.key };
}

function serverNames(plan: ClusterPlan): { type: "dns" | "ip"; value: string }[] {
  const service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", `kubernetes.default.svc.${plan.clusterDomain}`];
  const addresses = ["127.0.0.1", "::1", ...plan.router.addresses, ...plan.apiServiceAddresses];
  return [
    ...["localhost", ...service].map((value) => ({ type: "dns" as const, value })),
    ...addresses.map((value) => ({ type: "ip" as const, value })),
  ];
}

async function createAuthority(): Promise<{ certificate: string; issue(subject: string, extensions: Extension[]): Promise<Issued> }> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const dates = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + YEAR_MS) };
  const ca = await X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=fairlead-ca",
    ...dates,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature, true),
    ],
  });
  return {
    certificate: `${ca.toString("pem")}\n`,
    async issue(subject, extensions) {
      const own = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const certificate = await X509CertificateGenerator.create({
        serialNumber: randomBytes(15).toString("hex").replace(/^./, "1"),
        subject,
        issuer: ca.subject,
        ...dates,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        extensions: [new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true), ...extensions],
      });
      const key = PemConverter.encode(await crypto.subtle.exportKey("pkcs8", own.privateKey), "PRIVATE KEY");
      return { certificate: `${certificate.toString("pem")}\n`, key: `${key}\n` };
    },
  };
}

/** Who asks the API server from inside; the groups are upstream's. The sandbox itself creates the addons, as an administrator. */
const IDENTITIES: readonly { id: string; user: string; groups: string }[] = [
  { id: "sandbox", user: "system:fairlead:sandbox", groups: "system:masters" },
  { id: "controllers", user: "system:kube-controller-manager", groups: "system:authenticated" },
  { id: "agent", user: "system:node", groups: "system:nodes" },
];

function writeTokens(plan: ClusterPlan, home: string, ca: string): void {
  const lines: string[] = [];
  const [router = ""] = plan.router.addresses;
  const server = `https://${router.includes(":") ? `[${router}]` : router}:6443`;
  for (const { id, user, groups } of IDENTITIES) {
    const token = randomBytes(24).toString("hex");
    lines.push(`${token},${user},${user},"${groups}"`);
    const config = kubeconfig(id, { server, ca }, { token });
    writeFileSync(componentKubeconfig(home, id), JSON.stringify(config), { mode: 0o600 });
  }
  writeFileSync(clusterPaths(home).tokens, `${lines.join("\n")}\n`, { mode: 0o600 });
}

/** A kubeconfig with one cluster, one user and one context, all called `name`. */
export function kubeconfig(name: string, cluster: { server: string; ca: string }, user: Readonly<Record<string, string>>): object {
  return {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server: cluster.server, "certificate-authority-data": base64(cluster.ca) } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  };
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
