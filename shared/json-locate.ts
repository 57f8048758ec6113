import type { ByteRange } from './messages/task.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const SPACE = 0x20;
/** Strings up to here are walked byte by byte; for longer ones a native search for the quote is faster. */
const SHORT_STRING_BYTES = 24;

/** The same top-level key stands twice: which of them counts is a question that every parser answers differently. */
export class DuplicateKey extends Error {
  override readonly name = 'DuplicateKey';
  readonly key: string;

  constructor(key: string) {
    super(`duplicate key "${key}"`);
    this.key = key;
  }
}

/**
 * Where the values of some top-level keys stand in a JSON object, so that they can be replaced and every other byte
 * left as it is: 64-bit integers, key order and unknown fields survive.
 * @param bytes valid JSON, an object: the caller has parsed it
 * @throws DuplicateKey when one of the keys stands twice
 */
export function locateTopLevel(bytes: Buffer, keys: readonly string[]): Map<string, ByteRange> {
  const found = new Map<string, ByteRange>();
  let at = skipSpace(bytes, 0) + 1;
  for (;;) {
    at = skipSpace(bytes, at);
    if (at >= bytes.length || bytes[at] === CLOSE_BRACE) return found;
    if (bytes[at] === COMMA) {
      at++;
      continue;
    }
    const keyEnd = endOfString(bytes, at);
    const key = keys.find((candidate) => isKey(bytes, at, keyEnd, candidate));
    const start = skipSpace(bytes, bytes.indexOf(COLON, keyEnd) + 1);
    const end = endOfValue(bytes, start);
    if (key !== undefined) {
      if (found.has(key)) throw new DuplicateKey(key);
      found.set(key, [start, end]);
    }
    at = end;
  }
}

/**
 * As `locateTopLevel` for the one key, but without walking the object when its quoted name stands once in all the bytes
 * and no key can be written with escapes: then that one is it. The usual request is done after two native searches.
 * @param isPresent whether the parsed object has the key
 */
export function locateOne(bytes: Buffer, key: string, isPresent: boolean): ByteRange | undefined {
  if (!isPresent) return undefined;
  const quoted = `"${key}"`;
  const first = bytes.indexOf(quoted, 0, 'latin1');
  const isOnlyOne =
    first >= 0 && bytes.indexOf(quoted, first + 1, 'latin1') < 0 && !bytes.includes('\\u00', 0, 'latin1');
  if (!isOnlyOne) return locateTopLevel(bytes, [key]).get(key);
  const colon = skipSpace(bytes, first + quoted.length);
  // The only occurrence is a value (`"role":"model"`), and the key itself is spelled some other way.
  if (bytes[colon] !== COLON) return locateTopLevel(bytes, [key]).get(key);
  const start = skipSpace(bytes, colon + 1);
  return [start, endOfValue(bytes, start)];
}

/**
 * Where a whole member stands: its key, its value, and the comma that must go with it, the one behind it or, for the last
 * member, the one before. What is left without it is the same object without that key.
 * @param key has neither quotes nor backslashes in it
 */
export function locateMember(bytes: Buffer, key: string, isPresent: boolean): ByteRange | undefined {
  const value = locateOne(bytes, key, isPresent);
  if (value === undefined) return undefined;
  const [from, end] = memberOf(bytes, value);
  const after = skipSpace(bytes, end);
  if (bytes[after] === COMMA) return [from, after + 1];
  let before = from - 1;
  while ((bytes[before] as number) <= SPACE) before--;
  return [bytes[before] === COMMA ? before : from, end];
}

/** Where the member of a value stands that was found: its key and its value, without a comma. */
export function memberOf(bytes: Buffer, [start, end]: ByteRange): ByteRange {
  const colon = bytes.lastIndexOf(COLON, start - 1);
  // However the key was spelled: the quote before its last one is its first.
  return [bytes.lastIndexOf(QUOTE, bytes.lastIndexOf(QUOTE, colon) - 1), end];
}

function isKey(bytes: Buffer, start: number, end: number, key: string): boolean {
  const text = bytes.toString('latin1', start, end);
  if (text === `"${key}"`) return true;
  return text.includes('\\') && JSON.parse(text) === key;
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && (bytes[at] as number) <= SPACE) at++;
  return at;
}

/** The offset after the string that begins with the quote at `start`. */
function endOfString(bytes: Buffer, start: number): number {
  const walkTo = Math.min(bytes.length, start + 1 + SHORT_STRING_BYTES);
  let at = start + 1;
  while (at < walkTo) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    at += byte === BACKSLASH ? 2 : 1;
  }
  for (;;) {
    const quote = bytes.indexOf(QUOTE, at);
    if (quote < 0) return bytes.length;
    let backslashes = 0;
    while (quote - 1 - backslashes >= at && bytes[quote - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

function endOfValue(bytes: Buffer, start: number): number {
  const first = bytes[start];
  if (first === QUOTE) return endOfString(bytes, start);
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return endOfNested(bytes, start);
  let at = start;
  while (at < bytes.length) {
    const byte = bytes[at] as number;
    if (byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || byte <= SPACE) break;
    at++;
  }
  return at;
}

/** Counts depth rather than recursing: the input chooses its depth. */
function endOfNested(bytes: Buffer, start: number): number {
  let depth = 0;
  let at = start;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = endOfString(bytes, at);
      continue;
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return at + 1;
    }
    at++;
  }
  return at;
}
