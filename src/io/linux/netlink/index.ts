/** Netlink: messages built and read in place, and the socket they go through. */
export { putGenericHeader, resolveFamily } from "./generic.ts";
export { AttrReader, NetlinkMessage, splitMessages } from "./reader.ts";
export { NetlinkSocket, type Refusal, refusalError } from "./socket.ts";
export { MessageWriter } from "./writer.ts";
