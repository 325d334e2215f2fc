// From what a container is to be, to what the launcher does. Pure.
import { containerCapabilities, containerEnv, containerUser, type IdMaps } from "./identity.ts";
import { commandLine, PROGRAM_PATHS, requireBuiltinImage } from "./images.ts";
import type { ContainerLaunch, ExecLaunch, ProcessSpec } from "./launch-spec.ts";
import { type HostLayout, type ProgramFiles, planRootfs } from "./rootfs.ts";
import type { ContainerConfig, PodSandboxConfig } from "./types.ts";

/** What is the same for all containers of a node. */
export interface NodeFacts {
  readonly host: HostLayout;
  readonly programs: ProgramFiles;
  readonly idMaps: IdMaps;
}

export interface LaunchRequest {
  readonly sandbox: PodSandboxConfig;
  readonly sandboxDir: string;
  readonly rootDir: string;
  readonly config: ContainerConfig;
}

/** Throws RuntimeError where the container asks for what there is not. */
export function planContainer(node: NodeFacts, { sandbox, sandboxDir, rootDir, config }: LaunchRequest): ContainerLaunch {
  const image = requireBuiltinImage(config.image);
  const privileged = config.securityContext?.privileged ?? false;
  const { host, programs } = node;
  const steps = planRootfs({ host, programs, namespaces: sandbox.namespaces, privileged, sandboxDir, mounts: config.mounts });
  const argv = commandLine(image, config.command, config.args);
  return {
    kind: "container",
    rootDir,
    steps,
    readonlyRoot: config.securityContext?.readonlyRootfs ?? false,
    process: planProcess(node, sandbox, config, { argv, tty: config.tty ?? false }),
  };
}

/** A process beside the container's own, with the same identity, environment and working directory. */
export function planExec(
  node: NodeFacts,
  container: { readonly sandbox: PodSandboxConfig; readonly config: ContainerConfig; readonly pid: number },
  command: { readonly argv: readonly string[]; readonly tty: boolean },
): ExecLaunch {
  return { kind: "exec", pid: container.pid, process: planProcess(node, container.sandbox, container.config, command) };
}

function planProcess(
  node: NodeFacts,
  sandbox: PodSandboxConfig,
  config: ContainerConfig,
  { argv, tty }: { readonly argv: readonly string[]; readonly tty: boolean },
): ProcessSpec {
  const name = argv[0] ?? "";
  const program = config.mounts.some((mount) => mount.containerPath === name) ? undefined : PROGRAM_PATHS[name];
  return {
    argv,
    env: containerEnv(config, sandbox.hostname, tty),
    cwd: config.workingDir === undefined || config.workingDir === "" ? "/" : config.workingDir,
    user: containerUser(config.securityContext, node.idMaps),
    capabilities: containerCapabilities(config.securityContext),
    noNewPrivs: config.securityContext?.noNewPrivs ?? false,
    tty,
    ...(program !== undefined && { program: `${node.programs.distDir}/${program}.js` }),
  };
}
