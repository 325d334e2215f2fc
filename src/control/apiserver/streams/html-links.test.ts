import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HtmlLinks, linkMap } from "./html-links.ts";

const PREFIX = "/api/v1/namespaces/ns/pods/p:80/proxy";
const map = linkMap(PREFIX, new Set(["10.0.0.1:80", "example.test"]));

function rewrite(...pieces: readonly string[]): string {
  const links = new HtmlLinks(map);
  return pieces.map((piece) => links.write(piece)).join("") + links.end();
}

test("links from the root lead below the proxy's path, others stay", () => {
  const table: readonly [string, string][] = [
    ["/a/b?q=1#f", `${PREFIX}/a/b?q=1#f`],
    ["/", `${PREFIX}/`],
    ["a/b", "a/b"],
    ["#top", "#top"],
    ["", ""],
    ["?q=/x", "?q=/x"],
    ["mailto:a@b", "mailto:a@b"],
    ["https://elsewhere.test/a", "https://elsewhere.test/a"],
    ["//elsewhere.test/a", "//elsewhere.test/a"],
    ["http://10.0.0.1:80/a", `${PREFIX}/a`],
    ["//example.test/a", `${PREFIX}/a`],
    [`${PREFIX}/a`, `${PREFIX}/a`],
  ];
  for (const [url, wanted] of table) assert.equal(map(url), wanted, url);
});

test("only attributes that hold links of their element", () => {
  const table: readonly [string, string][] = [
    ['<a href="/x">test</a>', `<a href="${PREFIX}/x">test</a>`],
    ["<A class=b HREF = '/x' >", `<A class=b HREF = '${PREFIX}/x' >`],
    ["<img src=/x alt=/y>", `<img src=${PREFIX}/x alt=/y>`],
    ['<div href="/x">', '<div href="/x">'],
    ['<a title=">" href="/x">', `<a title=">" href="${PREFIX}/x">`],
    ['<!-- <a href="/x"> --><a href="/y">', `<!-- <a href="/x"> --><a href="${PREFIX}/y">`],
    ['<script>"<a href=\'/x\'>"</script><a href="/y">', `<script>"<a href='/x'>"</script><a href="${PREFIX}/y">`],
    ['<script src="/x"></script>', `<script src="${PREFIX}/x"></script>`],
    ["a < b <3 <", "a < b <3 <"],
    ['<a href="/x', '<a href="/x'],
  ];
  for (const [html, wanted] of table) assert.equal(rewrite(html), wanted, html);
});

test("a page costs what its length is, whatever a pod has put into it", () => {
  // With time that grows as the square these take minutes.
  const table: readonly string[] = [
    `<a ${"a".repeat(60_000)}>`.repeat(20),
    `<a ${" ".repeat(60_000)}>`.repeat(20),
    '<a "'.repeat(500_000),
    "<!--".repeat(500_000),
  ];
  for (const page of table) assert.ok(rewrite(page) === page, page.slice(0, 10));
  assert.ok(rewrite(`<!--${"-".repeat(100_000)}`, '<a href="/x">').endsWith(`<a href="${PREFIX}/x">`));
});

test("however the page is cut into pieces, it comes out the same", () => {
  const piece = fc.constantFrom('<a href="/x">', "<!--", "-->", "<script>", "</script>", "<", "text", "'", '"', "<img src=/y>", "ü");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat(80), { maxLength: 6 }), (pieces, cuts) => {
      const page = pieces.join("");
      const at = [0, ...cuts.map((cut) => Math.min(cut, page.length)).sort((a, b) => a - b), page.length];
      const parts = at.slice(1).map((end, i) => page.slice(at[i] ?? 0, end));
      assert.equal(rewrite(...parts), rewrite(page));
    }),
  );
});
