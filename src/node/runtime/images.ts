// The built-in images. All of them are the machine's own root file system, read-only, with writable places of their own; they differ in
// what they run. Pure.
import { RuntimeError } from "./errors.ts";
import type { Image } from "./types.ts";

/** The programs of `dist` that an image may run. */
export type ImageProgram = "agnhost" | "dns";

export interface BuiltinImage {
  readonly name: string;
  /** Repository names that mean this image, with any tag. */
  readonly repositories: readonly string[];
  /** Run where the pod gives no command. */
  readonly entrypoint: readonly string[];
  /** Arguments where the pod gives neither command nor arguments. */
  readonly cmd: readonly string[];
}

/** `/agnhost` and the like are small scripts in the container's root that start the program of that name. */
export const PROGRAM_PATHS: Readonly<Record<string, ImageProgram>> = { "/agnhost": "agnhost", "/dns": "dns" };

/** Does nothing until SIGTERM, in a shell: a Node that does nothing has 16 MiB. */
export const PAUSE_SCRIPT = "trap 'exit 0' TERM INT; sleep infinity & wait";

export const BUILTIN_IMAGES: readonly BuiltinImage[] = [
  {
    name: "agnhost",
    repositories: ["agnhost", "fairlead/agnhost", "registry.k8s.io/e2e-test-images/agnhost", "k8s.gcr.io/e2e-test-images/agnhost"],
    entrypoint: ["/agnhost"],
    cmd: ["pause"],
  },
  { name: "toolbox", repositories: ["toolbox", "fairlead/toolbox"], entrypoint: [], cmd: ["/bin/sh", "-c", PAUSE_SCRIPT] },
  { name: "dns", repositories: ["fairlead/dns"], entrypoint: ["/dns"], cmd: [] },
  {
    name: "pause",
    repositories: ["pause", "fairlead/pause", "registry.k8s.io/pause", "k8s.gcr.io/pause"],
    entrypoint: ["/pause"],
    cmd: [],
  },
];

/** `registry:5000/path/name:tag@sha256:…`, taken apart (distribution/reference grammar, as far as it matters here). */
export interface ImageReference {
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

const REFERENCE =
  /^((?:[A-Za-z0-9.-]+(?::\d+)?\/|\[[0-9a-fA-F:]+\](?::\d+)?\/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/;

export function parseImageReference(text: string): ImageReference | undefined {
  const match = REFERENCE.exec(text);
  if (match?.[1] === undefined) return undefined;
  return { repository: match[1].replace(/^docker\.io\/(library\/)?/, ""), tag: match[2], digest: match[3] };
}

export function findBuiltinImage(text: string): BuiltinImage | undefined {
  const reference = parseImageReference(text);
  return reference && BUILTIN_IMAGES.find((image) => image.repositories.includes(reference.repository));
}

/** Throws ErrImagePull or InvalidImageName, with what to do instead. */
export function requireBuiltinImage(text: string): BuiltinImage {
  if (parseImageReference(text) === undefined) {
    throw new RuntimeError("InvalidImageName", `couldn't parse image name "${text}": invalid reference format`);
  }
  const image = findBuiltinImage(text);
  if (image !== undefined) return image;
  const names = BUILTIN_IMAGES.map((builtin) => builtin.repositories.find((name) => name.includes("/")) ?? builtin.name).join(", ");
  throw new RuntimeError(
    "ErrImagePull",
    `image "${text}" is not built in, and the embedded runtime pulls none. Built in are: ${names}, with any tag. ` +
      `To run a program of this machine use fairlead/toolbox with a command; for other images use a node with containerd.`,
  );
}

/** Stable for one version of the program, as a digest would be. */
export function imageId(image: BuiltinImage): string {
  return `fairlead-builtin://${image.name}`;
}

export function describeImage(image: BuiltinImage): Image {
  return { id: imageId(image), repoTags: image.repositories.map((name) => `${name}:latest`), sizeBytes: 0 };
}

/** What a container runs (Docker's rules: `command` replaces the entrypoint and the image's arguments, `args` only the arguments). */
export function commandLine(image: BuiltinImage, command: readonly string[], args: readonly string[]): string[] {
  if (command.length > 0) return [...command, ...args];
  return [...image.entrypoint, ...(args.length > 0 ? args : image.cmd)];
}
