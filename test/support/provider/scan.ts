/** Reads the few things the provider needs of a request body in one pass over its bytes, without building a tree. */
import { isAscii } from 'node:buffer';

/** What a request asks for; an instance is reused, so copy what outlives the next scan. */
export interface ScannedBody {
  /** As written between the quotes, escapes included, one character per byte. */
  model: string;
  stream: boolean;
  includeUsage: boolean;
  /** `max_tokens` or `max_completion_tokens`; 0 when absent. */
  maxTokens: number;
  /** `n`; 0 when absent. */
  choices: number;
  /** Width of the embeddings asked for; 0 when absent. */
  dimensions: number;
  isBase64: boolean;
  /** Characters (code points) of prompt text, the same whatever way a gateway writes the JSON. */
  characters: number;
  /** Inputs of an embeddings request; an array of token ids is one, each id a token. */
  inputs: number;
}

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const COLON = 58;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const LOWER_U = 117;
const LOWER_T = 116;
const SPACE = 32;
/** From this length on it pays to look first whether every character is one byte, as most bodies are. */
const LONG_BYTES = 256;
/** Bytes of a string looked at one by one before the search for its end is left to native code. */
const SHORT_BYTES = 24;
/** Past this nesting the body is refused, before the stack is. */
const MAX_DEPTH = 256;

/** Keys that matter, told apart by length and first byte before their text is read. */
type Key = '' | 'text' | 'input' | 'model' | 'stream' | 'usage' | 'max' | 'n' | 'dimensions' | 'encoding';

export class BodyScanner implements ScannedBody {
  model = '';
  stream = false;
  includeUsage = false;
  maxTokens = 0;
  choices = 0;
  dimensions = 0;
  isBase64 = false;
  characters = 0;
  inputs = 0;

  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  /** Bounds and characters of the string read last. */
  #from = 0;
  #to = 0;
  #count = 0;
  /** No escapes and only ASCII in the whole body: a string ends at the next quote and counts its length. */
  #isPlain = false;

  /** Scans `bytes[start, end)`; false when it is not a JSON object (checked roughly). */
  scan(bytes: Buffer, start: number, end: number): boolean {
    this.model = '';
    this.stream = this.includeUsage = this.isBase64 = false;
    this.maxTokens = this.choices = this.dimensions = this.characters = this.inputs = 0;
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#isPlain = false;
    if (end - start >= LONG_BYTES) {
      const body = bytes.subarray(start, end);
      this.#isPlain = isAscii(body) && !body.includes(BACKSLASH);
    }
    this.#skipSpace();
    if (this.#at >= end || bytes[this.#at] !== OPEN_BRACE || !this.#value('', 0)) return false;
    this.#skipSpace();
    return this.#at === end;
  }

  #skipSpace(): void {
    const bytes = this.#bytes;
    let at = this.#at;
    while (at < this.#end) {
      const byte = bytes[at] ?? 0;
      if (byte > SPACE || (byte !== SPACE && byte !== 10 && byte !== 13 && byte !== 9)) break;
      at++;
    }
    this.#at = at;
  }

  /** At a quote: reads to its end. A surrogate pair written as two \u escapes counts once. */
  #string(): boolean {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#at + 1;
    this.#from = at;
    let count = 0;
    const nativeFrom = this.#isPlain ? at + SHORT_BYTES : end;
    while (at < end) {
      if (at === nativeFrom) {
        const quote = bytes.indexOf(QUOTE, at);
        if (quote < 0 || quote >= end) return false;
        count += quote - at;
        at = quote;
      }
      const byte = bytes[at] ?? 0;
      if (byte === QUOTE) {
        this.#to = at;
        this.#count = count;
        this.#at = at + 1;
        return true;
      }
      if (byte !== BACKSLASH) {
        if ((byte & 0xc0) !== 0x80) count++;
        at++;
      } else if (bytes[at + 1] === LOWER_U) {
        const isLowHalf = ((bytes[at + 2] ?? 0) | 32) === 100 && ((bytes[at + 3] ?? 0) | 32) >= 99;
        if (!isLowHalf) count++;
        at += 6;
      } else {
        count++;
        at += 2;
      }
    }
    return false;
  }

  /** Which key the string read last is. */
  #key(depth: number): Key {
    const length = this.#to - this.#from;
    const first = this.#bytes[this.#from];
    if (length === 1) return depth === 0 && first === 110 ? 'n' : '';
    if (length < 4 || length > 21) return '';
    // t(ext) c(ontent) i(nput|nclude_usage) p(rompt) s(ystem|tream) m(odel|ax_…) d(imensions) e(ncoding_format)
    if (first !== 116 && first !== 99 && first !== 105 && first !== 112 && first !== 115 && first !== 109) {
      if (first !== 100 && first !== 101) return '';
    }
    switch (this.#bytes.toString('latin1', this.#from, this.#to)) {
      case 'content':
      case 'text':
      case 'prompt':
      case 'system':
        return 'text';
      case 'input':
        return 'input';
      case 'include_usage':
        return 'usage';
      case 'model':
        return depth === 0 ? 'model' : '';
      case 'stream':
        return depth === 0 ? 'stream' : '';
      case 'max_tokens':
      case 'max_completion_tokens':
        return depth === 0 ? 'max' : '';
      case 'dimensions':
        return depth === 0 ? 'dimensions' : '';
      case 'encoding_format':
        return depth === 0 ? 'encoding' : '';
      default:
        return '';
    }
  }

  #value(key: Key, depth: number): boolean {
    this.#skipSpace();
    if (this.#at >= this.#end || depth > MAX_DEPTH) return false;
    const byte = this.#bytes[this.#at];
    if (byte === OPEN_BRACE) return this.#object(depth);
    if (byte === OPEN_BRACKET) return this.#array(key, depth);
    if (byte !== QUOTE) return this.#literal(key);
    if (!this.#string()) return false;
    this.#sawString(key);
    return true;
  }

  #sawString(key: Key): void {
    if (key === '') return;
    if (key === 'text') this.characters += this.#count;
    else if (key === 'input') {
      this.characters += this.#count;
      this.inputs++;
    } else if (key === 'model') this.model = this.#bytes.toString('latin1', this.#from, this.#to);
    else if (key === 'encoding') this.isBase64 = this.#bytes.toString('latin1', this.#from, this.#to) === 'base64';
  }

  #object(depth: number): boolean {
    this.#at++;
    this.#skipSpace();
    if (this.#bytes[this.#at] === CLOSE_BRACE && this.#at < this.#end) {
      this.#at++;
      return true;
    }
    for (;;) {
      this.#skipSpace();
      if (this.#at >= this.#end || this.#bytes[this.#at] !== QUOTE || !this.#string()) return false;
      const key = this.#key(depth);
      this.#skipSpace();
      if (this.#at >= this.#end || this.#bytes[this.#at] !== COLON) return false;
      this.#at++;
      if (!this.#value(key, depth + 1)) return false;
      const more = this.#separator(CLOSE_BRACE);
      if (more !== undefined) return more;
    }
  }

  #array(key: Key, depth: number): boolean {
    this.#at++;
    this.#skipSpace();
    if (this.#bytes[this.#at] === CLOSE_BRACKET && this.#at < this.#end) {
      this.#at++;
      return true;
    }
    const first = this.#bytes[this.#at] ?? 0;
    if (key === 'input' && first >= 48 && first <= 57) this.inputs++;
    for (;;) {
      if (!this.#value(key, depth + 1)) return false;
      const more = this.#separator(CLOSE_BRACKET);
      if (more !== undefined) return more;
    }
  }

  /** After a member: undefined to go on, true at the closing byte, false when neither follows. */
  #separator(close: number): boolean | undefined {
    this.#skipSpace();
    const byte = this.#at < this.#end ? this.#bytes[this.#at] : 0;
    this.#at++;
    return byte === COMMA ? undefined : byte === close;
  }

  /** true, false, null or a number. */
  #literal(key: Key): boolean {
    const bytes = this.#bytes;
    const from = this.#at;
    let at = from;
    let value = 0;
    let isDigits = true;
    for (; at < this.#end; at++) {
      const byte = bytes[at] ?? 0;
      if (byte <= SPACE || byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET) break;
      if (byte < 48 || byte > 57) isDigits = false;
      if (isDigits) value = value * 10 + (byte - 48);
    }
    this.#at = at;
    if (at === from) return false;
    const first = bytes[from] ?? 0;
    if (first !== LOWER_T && first !== 102 && first !== 110 && first !== 45 && (first < 48 || first > 57)) return false;
    switch (key) {
      case 'stream':
        this.stream = first === LOWER_T;
        break;
      case 'usage':
        this.includeUsage = first === LOWER_T;
        break;
      case 'max':
        this.maxTokens = value;
        break;
      case 'n':
        this.choices = value;
        break;
      case 'dimensions':
        this.dimensions = value;
        break;
      case 'input':
        this.characters += 4; // a token id is a token
        break;
      case '':
      case 'text':
      case 'model':
      case 'encoding':
        break;
    }
    return true;
  }
}
