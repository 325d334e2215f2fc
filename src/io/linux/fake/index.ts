/** The kernel in memory, of the same shape as the real one: for tests. */
export { FakeNft, type FakeNftOptions } from "../nftables/fake.ts";
