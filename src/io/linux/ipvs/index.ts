/** The IP Virtual Server of a network namespace: virtual services and their destinations. */
export { formatIpvsDestination, formatIpvsService } from "./describe.ts";
export { openIpvs } from "./socket.ts";
export type * from "./types.ts";
