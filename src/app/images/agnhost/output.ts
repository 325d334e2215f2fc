import { hostname } from "node:os";

/** A line as Go's `log` package writes it, on stderr: `2009/11/10 23:00:00 message`. */
export function log(message: string): void {
  const now = new Date();
  const two = (n: number): string => String(n).padStart(2, "0");
  const date = `${now.getFullYear()}/${two(now.getMonth() + 1)}/${two(now.getDate())}`;
  process.stderr.write(`${date} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())} ${message}\n`);
}

/** Says why and ends the program with code 1. */
export function fatal(message: string): never {
  log(message);
  process.exit(1);
}

export function hostName(): string {
  return hostname();
}

/** The address as Go prints it: `10.0.0.1:80`, `[fd00::1]:80`; an IPv4 address that a dual-stack socket saw loses its `::ffff:`. */
export function formatPeer(address: string | undefined, port: number | undefined): string {
  const plain = (address ?? "").replace(/^::ffff:(?=\d+\.)/i, "");
  return plain.includes(":") ? `[${plain}]:${port ?? 0}` : `${plain}:${port ?? 0}`;
}

/** Splits `host:port` and `[v6]:port` as Go's net.SplitHostPort; the error text is Go's. */
export function splitHostPort(text: string): { host: string; port: number } | { error: string } {
  const bracketed = /^\[([^\]]*)\]:(\d+)$/.exec(text);
  if (bracketed) return { host: bracketed[1] ?? "", port: Number(bracketed[2]) };
  const colon = text.lastIndexOf(":");
  if (colon < 0) return { error: `address ${text}: missing port in address` };
  if (text.indexOf(":") !== colon) return { error: `address ${text}: too many colons in address` };
  const port = text.slice(colon + 1);
  if (!/^\d+$/.test(port) || Number(port) > 65_535) return { error: `address ${text}: invalid port "${port}"` };
  return { host: text.slice(0, colon), port: Number(port) };
}

export function joinHostPort(host: string, port: number | string): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
