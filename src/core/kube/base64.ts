// Standard base64 with padding (RFC 4648 §4), as Go's encoding/json writes []byte. Here because core has neither Buffer nor atob.

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export function encodeBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b, c] = bytes.subarray(i, i + 3);
    const bits = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    text += `${ALPHABET[bits >> 18]}${ALPHABET[(bits >> 12) & 63]}`;
    text += b === undefined ? "==" : `${ALPHABET[(bits >> 6) & 63]}${c === undefined ? "=" : ALPHABET[bits & 63]}`;
  }
  return text;
}

export function encodeBase64Text(text: string): string {
  return encodeBase64(new TextEncoder().encode(text));
}

export function isBase64(text: string): boolean {
  // Go skips line breaks inside.
  return text.length % 4 === 0 ? /^[A-Za-z0-9+/]*={0,2}$/.test(text) : isBase64Lines(text);
}

function isBase64Lines(text: string): boolean {
  const joined = text.replaceAll(/[\r\n]/g, "");
  return joined.length !== text.length && isBase64(joined);
}

/** How many bytes a base64 text stands for. */
export function base64Length(text: string): number {
  const joined = text.replaceAll(/[\r\n]/g, "");
  const padding = joined.endsWith("==") ? 2 : joined.endsWith("=") ? 1 : 0;
  return (joined.length / 4) * 3 - padding;
}
