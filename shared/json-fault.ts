const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NEWLINE = 0x0a;
const SPACE = 0x20;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
const LITERALS = [Buffer.from('true'), Buffer.from('false'), Buffer.from('null')];
/** Sticky: tried at one place only. A number, or as much of the beginning of one as there is. */
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const NUMBER_START = /-?(?:(?:0|[1-9][0-9]*)(?:\.(?:[0-9]+(?:[eE][+-]?)?)?|[eE][+-]?)?)?/y;

export interface JsonFault {
  /** From 1. */
  readonly line: number;
  /** Characters of its line, from 1. */
  readonly column: number;
}

/**
 * Where a text stops being JSON: the first byte that cannot belong to it, or the text's end. V8 tells the place of some
 * faults only, and for the others quotes the text, which may be a prompt.
 * @param bytes UTF-8 on which `JSON.parse` has failed. undefined: this is JSON after all.
 */
export function findJsonFault(bytes: Buffer): JsonFault | undefined {
  const at = new Scanner(bytes).scan();
  return at === undefined ? undefined : placeOf(bytes, at);
}

type Expected = 'value' | 'value or ]' | 'key' | 'key or }' | ', or end';

class Scanner {
  readonly #bytes: Buffer;
  readonly #text: string;
  /** Open brackets and braces; the input chooses its depth, so this does not recurse. */
  readonly #open: number[] = [];
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    // One character for each byte, so that offsets agree.
    this.#text = bytes.toString('latin1');
  }

  /** The offset of the fault. */
  scan(): number | undefined {
    let expected: Expected | undefined = 'value';
    while (expected !== undefined) {
      this.#skipSpace();
      if (this.#at >= this.#bytes.length)
        return expected === ', or end' && this.#open.length === 0 ? undefined : this.#at;
      expected = this.#step(expected);
    }
    return this.#at;
  }

  /** Takes one token; undefined when it is not the one that must come, with `#at` at the fault. */
  #step(expected: Expected): Expected | undefined {
    const byte = this.#bytes[this.#at];
    switch (expected) {
      case 'value or ]':
        return byte === CLOSE_BRACKET ? this.#close() : this.#value(byte);
      case 'value':
        return this.#value(byte);
      case 'key or }':
        return byte === CLOSE_BRACE ? this.#close() : this.#key(byte);
      case 'key':
        return this.#key(byte);
      case ', or end': {
        const open = this.#open.at(-1);
        if (byte === COMMA && open !== undefined) {
          this.#at++;
          return open === OPEN_BRACE ? 'key' : 'value';
        }
        const isItsEnd = byte === (open === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET);
        return open !== undefined && isItsEnd ? this.#close() : undefined;
      }
    }
  }

  #close(): Expected {
    this.#open.pop();
    this.#at++;
    return ', or end';
  }

  #value(byte: number | undefined): Expected | undefined {
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      this.#open.push(byte);
      this.#at++;
      return byte === OPEN_BRACE ? 'key or }' : 'value or ]';
    }
    return this.#scalar(byte) ? ', or end' : undefined;
  }

  #scalar(byte: number | undefined): boolean {
    if (byte === QUOTE) return this.#string();
    const literal = LITERALS.find((candidate) => candidate[0] === byte);
    return literal === undefined ? this.#number() : this.#literal(literal);
  }

  #key(byte: number | undefined): Expected | undefined {
    if (byte !== QUOTE || !this.#string()) return undefined;
    this.#skipSpace();
    if (this.#bytes[this.#at] !== COLON) return undefined;
    this.#at++;
    return 'value';
  }

  #string(): boolean {
    for (this.#at++; this.#at < this.#bytes.length; this.#at++) {
      const byte = this.#bytes[this.#at] as number;
      if (byte === QUOTE) return this.#at++ >= 0;
      if (byte < SPACE) return false;
      if (byte === BACKSLASH && !this.#escape()) return false;
    }
    return false;
  }

  /** Stands at the backslash; ends at the escape's last byte. */
  #escape(): boolean {
    const letter = this.#text[++this.#at] ?? '';
    if (letter !== 'u') return letter !== '' && '"\\/bfnrt'.includes(letter);
    for (let digits = 0; digits < 4; digits++) {
      if (!/^[0-9a-fA-F]$/.test(this.#text[++this.#at] ?? '')) return false;
    }
    return true;
  }

  /** Goes as far as the literal that begins here goes. */
  #literal(literal: Buffer): boolean {
    for (const byte of literal) {
      if (this.#bytes[this.#at] !== byte) return false;
      this.#at++;
    }
    return true;
  }

  #number(): boolean {
    NUMBER.lastIndex = this.#at;
    NUMBER_START.lastIndex = this.#at;
    const whole = NUMBER.exec(this.#text)?.[0].length ?? 0;
    const begun = NUMBER_START.exec(this.#text)?.[0].length ?? 0;
    this.#at += Math.max(whole, begun);
    return whole > 0 && whole >= begun;
  }

  #skipSpace(): void {
    while (this.#at < this.#bytes.length && ' \t\n\r'.includes(this.#text[this.#at] as string)) this.#at++;
  }
}

function placeOf(bytes: Buffer, at: number): JsonFault {
  let line = 1;
  let lineStart = 0;
  for (
    let newline = bytes.indexOf(NEWLINE);
    newline >= 0 && newline < at;
    newline = bytes.indexOf(NEWLINE, lineStart)
  ) {
    line++;
    lineStart = newline + 1;
  }
  let column = 1;
  // Continuation bytes of UTF-8 (10xxxxxx) belong to the character before them.
  for (let i = lineStart; i < at; i++) if (((bytes[i] as number) & 0xc0) !== 0x80) column++;
  return { line, column };
}
