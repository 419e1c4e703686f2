/** What a header name and a header value may consist of (spec 1.3), and how bytes become text and back. */

/** Why `name` is not a header name; undefined if it is one: a token in lower case, after a colon or not. */
export function nameFault(name: Uint8Array): string | undefined {
  if (name.length === 0) return 'is empty';
  const start = name[0] === COLON ? 1 : 0;
  if (start === name.length) return 'is a colon only';
  for (let i = start; i < name.length; i++) {
    const byte = name[i] as number;
    if (TOKEN[byte]) continue;
    return byte >= UPPER_A && byte <= UPPER_Z
      ? 'has upper-case letters'
      : 'has a character that no token has';
  }
  return undefined;
}

/** Why `value`, one single value, is not a header value; undefined if it is one. */
export function valueFault(value: Uint8Array): string | undefined {
  for (const byte of value) {
    if (byte === NUL || byte === CR || byte === LF) return 'contains NUL, CR or LF';
  }
  if (isBlank(value[0]) || isBlank(value[value.length - 1])) return 'begins or ends with space or tab';
  return undefined;
}

/** The values that NUL bytes join, as views. Stops after `most` + 1: that many are too many anyway. */
export function splitValues(joined: Uint8Array, most: number): Uint8Array[] {
  const values: Uint8Array[] = [];
  let start = 0;
  for (let end = joined.indexOf(NUL); end >= 0 && values.length < most; end = joined.indexOf(NUL, start)) {
    values.push(joined.subarray(start, end));
    start = end + 1;
  }
  values.push(joined.subarray(start));
  return values;
}

/** Each byte as the code point of the same number. (TextDecoder's `latin1` is windows-1252, so it changes some.) */
export function textOf(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += STEP) {
    text += String.fromCharCode(...bytes.subarray(at, at + STEP));
  }
  return text;
}

/** The reverse; undefined if a character of `text` is not one byte. */
export function bytesOf(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0xff) return undefined;
    bytes[i] = unit;
  }
  return bytes;
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

const NUL = 0x00;
const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;

/** 1 for each byte that RFC 9110 (section 5.6.2) allows in a token, without upper-case letters. */
const TOKEN: Uint8Array = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
  TOKEN[character.charCodeAt(0)] = 1;

/** Characters made at once: a call takes a limited number of arguments. */
const STEP = 4096;
