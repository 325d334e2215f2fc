// Which packets are traced: a table of our own that sets `meta nftrace`, before anybody else sees the packet.

/** The table goes with the socket that made it. */
export const ARM_TABLE_PREFIX = "fairlead-trace-";
