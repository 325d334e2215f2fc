// What both ends of SPDY/3 know before the first header is compressed (draft-mbelshe-httpbis-spdy-00 §2.6.10.1): words that are likely,
// the first ones with their length before them as in a header block, the others as running text.

const PREFIXED = [
  "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization",
  "cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range",
  "content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified",
  "location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding",
  "upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin",
];

const STATUSES = [
  "100 101 201 202 205 206 300 302 303 304 305 306 307 402 405 406 407 408 409 410 411 412 413 414 415 416 417 502 504 505".replaceAll(
    " ",
    "",
  ),
  "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found",
  "500 Internal Server Error501 Not Implemented503 Service Unavailable",
];

const VALUES = [
  "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT",
  "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public",
  "privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.",
];

function withLength(word: string): Buffer {
  const bytes = Buffer.alloc(4 + word.length);
  bytes.writeUInt32BE(word.length);
  bytes.write(word, 4);
  return bytes;
}

const words: Buffer[] = PREFIXED.flatMap((line) => line.split(" ")).map((word) => withLength(word.replace("_", " ")));

export const DICTIONARY: Buffer = Buffer.concat([...words, Buffer.from([...STATUSES, ...VALUES].join(""))]);
