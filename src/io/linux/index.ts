/** The kernel over FFI: network namespaces, rtnetlink, nf_tables, conntrack, processes in namespaces. */
export { type Capability, dropCapabilities, parseCapability, setNoNewPrivileges } from "./capabilities.ts";
export { type Capture, type CapturedPacket, type CaptureOptions, capture, streamFrames } from "./capture.ts";
export {
  type Orphan,
  reapOrphans,
  setParentDeathSignal,
  setSubreaper,
  watchOrphans,
  watchProcessEnd,
} from "./children.ts";
export { openConntrack } from "./conntrack.ts";
export { mkfifo, restoreSignal, ticksPerSecond } from "./ffi.ts";
export { watchIntact } from "./intact.ts";
export * from "./ipvs/index.ts";
export { errnoName, isErrno, KernelError } from "./kernel-error.ts";
export { type ListeningSocket, listListeners, type SocketOwner, socketOwners } from "./listeners.ts";
export {
  bindMount,
  joinMountNamespace,
  type MountRequest,
  makeRootPrivate,
  makeRootSlave,
  mount,
  mountSetAttrReadonlyRecursive,
  newMountNamespace,
  pivotRoot,
  sethostname,
  setnsFd,
  unmount,
} from "./mounts.ts";
export { netns } from "./netns.ts";
export * from "./nftables/index.ts";
export { type LoggedPacket, type PacketLog, watchPacketLog } from "./packet-log.ts";
export { ProbeSocket, type SocketError } from "./probe-socket.ts";
export { inNamespaces, type NamespaceKind, type Namespaces, type SpawnInOptions, spawnIn } from "./process.ts";
export { openRoute } from "./route/index.ts";
export { netnsIds } from "./route/netns-ids.ts";
export { connectSocket, listenFd, udpFd } from "./sockets.ts";
export { openTerminal, setControllingTerminal, setTerminalSize, type TerminalSize } from "./terminal.ts";
export type * from "./types.ts";
export { CAPABILITIES } from "./uapi/capability.ts";
export { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from "./uapi/mount.ts";
