import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { Stored } from "#kube";
import { sliceWithLists } from "./slice-with-lists.ts";

const TEXT = `{ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "lb-1", "namespace": "default" },
  "addressType": "IPv4", "endpoints": null, "ports": null }`;

test("an EndpointSlice that lists nothing has empty lists, and all else as it was", () => {
  const slice: Stored<EndpointSlice> = JSON.parse(TEXT);
  assert.deepEqual(sliceWithLists(slice), { ...slice, endpoints: [], ports: [] });
});
