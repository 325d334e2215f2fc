// Network namespaces of the fake kernel.
import { InputError } from "#base";
import type { NetNs } from "../types.ts";
import { addLoopback } from "./links.ts";
import { type FakeOptions, FakeState, refusal, rememberState } from "./state.ts";

interface Bound {
  readonly state: FakeState;
  readonly inode: number;
}

let lastInode = 4_026_532_000;
let lastFd = 1000;

/** What the kernel has by default and code here asks for. Others of net.* are "0". */
const DEFAULTS: Readonly<Record<string, string>> = {
  "net/ipv4/ip_local_port_range": "32768\t60999",
  "net/ipv4/ip_default_ttl": "64",
};

const KNOWN = /^net\/(ipv4|ipv6|core|netfilter|bridge|unix)\/[a-z0-9_/.@-]+$/i;

class FakeNetNs implements NetNs, Disposable {
  readonly path: string;
  readonly fd: number = ++lastFd;
  readonly inode: number;
  readonly #state: FakeState;
  #open = true;

  constructor(path: string, bound: Bound) {
    this.path = path;
    this.inode = bound.inode;
    this.#state = bound.state;
    rememberState(this, bound.state);
  }

  run<R>(fn: () => R extends PromiseLike<unknown> ? never : R): R;
  run(fn: () => unknown): unknown {
    if (!this.#open) throw refusal(`enter network namespace ${this.path}`, "EBADF", "it was closed");
    const result = fn();
    if (result instanceof Promise) throw new TypeError("NetNs.run: the function returned a promise; what it awaits would run outside");
    return result;
  }

  sysctl(name: string): string {
    const key = this.#sysctlKey(name, `read sysctl ${name}`);
    return this.#state.sysctls.get(key) ?? DEFAULTS[key] ?? "0";
  }

  setSysctl(name: string, value: string | number): void {
    const op = this.#state.begin(`set sysctl ${name} to ${value}`);
    this.#state.sysctls.set(this.#sysctlKey(name, op), String(value));
  }

  close(): void {
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #sysctlKey(name: string, op: string): string {
    const swap = /^[^./]*\./.test(name);
    const key = swap ? name.replace(/[./]/g, (sep) => (sep === "." ? "/" : ".")) : name;
    if (!/^net(\/[^/]+)+$/.test(key))
      throw new InputError("sysctl", `"${name}" is not the name of a network sysctl such as net.ipv4.ip_forward`);
    const [, , , group, link] = /^(net)\/(\w+)\/(conf|neigh)\/([^/]+)\//.exec(key)?.slice(0) ?? [];
    const unknownLink = link !== undefined && group !== undefined && link !== "all" && link !== "default" && !this.#state.links.has(link);
    if (!KNOWN.test(key) || unknownLink) throw refusal(`${op} in network namespace ${this.path}`, "ENOENT");
    return key;
  }
}

/** The namespaces of one fake kernel: `netns` of the real one, in memory. */
export class FakeNamespaces {
  readonly #bound = new Map<string, Bound>();
  readonly #options: FakeOptions;

  constructor(options: FakeOptions) {
    this.#options = options;
  }

  create(path: string): NetNs & Disposable {
    if (this.#bound.has(path)) throw refusal(`create network namespace ${path}`, "EEXIST");
    const bound = this.#make();
    this.#bound.set(path, bound);
    return new FakeNetNs(path, bound);
  }

  createAnonymous(): NetNs & Disposable {
    const bound = this.#make();
    return new FakeNetNs(`fake:[${bound.inode}]`, bound);
  }

  open(path: string): NetNs & Disposable {
    const bound = this.#bound.get(path);
    if (bound === undefined) throw refusal(`open network namespace ${path}`, "ENOENT");
    return new FakeNetNs(path, bound);
  }

  delete(path: string): void {
    this.#bound.delete(path);
  }

  #make(): Bound {
    const state = new FakeState(this.#options);
    addLoopback(state);
    return { state, inode: ++lastInode };
  }
}
