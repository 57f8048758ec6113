/** Tokens as OpenAI's newer models count them (o200k_base). */

/** All texts of a request together; the rest is estimated. The tokenizer takes seconds for hostile text of this project's size limits. */
const MAX_TOKENIZED_BYTES = 16 * 1024;
/** Merging is quadratic in the length of a run without a break; 200 characters of it take 1 ms at worst. */
const LONG_RUN = /\S{200}(?=\S)|\s{200}(?=\s)/gu;
/** What is not tokenized counts at least one token for so many bytes (English prose has 4.5). */
const BYTES_PER_TOKEN = 4;
/**
 * The tokenizer remembers 100,000 words by itself, and a word may be a slice that keeps its whole prompt in memory:
 * gigabytes at worst. So many are 16 MiB at worst.
 */
const REMEMBERED_WORDS = 1_000;

/** What an answer says, cut where a stream cuts it. */
export interface Split {
  readonly text: string;
  /** Where each piece of `text` ends. A piece is one token, or the few that make up one character. */
  readonly ends: Uint32Array;
  readonly tokens: number;
  /** `text` is all of what was to be split: it did not take more than the tokens allowed. */
  readonly isWhole: boolean;
}

interface SplitOptions {
  readonly maxTokens: number;
  /** Text that we wrote ourselves is not hostile: all of it is tokenized. */
  readonly isOurs?: boolean;
}

let loading: Promise<Tokenizer> | undefined;

/** Loads once (0.2 s of the event loop, 67 MB), and again after a failure. */
export function loadTokenizer(): Promise<Tokenizer> {
  loading ??= importTokenizer().catch((failure: unknown) => {
    loading = undefined;
    throw failure;
  });
  return loading;
}

async function importTokenizer(): Promise<Tokenizer> {
  const [encoding, ranks] = await Promise.all([
    import('gpt-tokenizer/encoding/o200k_base'),
    import('gpt-tokenizer/bpeRanks/o200k_base'),
  ]);
  encoding.setMergeCacheSize(REMEMBERED_WORDS);
  return new Tokenizer(encoding.encode, ranks.default);
}

type Encode = (text: string, options: { disallowedSpecial: Set<string> }) => number[];
/** `<|endoftext|>` in a prompt is text like any other. */
const NO_SPECIAL_TOKENS = { disallowedSpecial: new Set<string>() };

export class Tokenizer {
  readonly #encode: Encode;
  /** What each token stands for; bytes where that is no whole characters. */
  readonly #ranks: ReadonlyArray<string | number[]>;
  readonly #scratch = new Uint8Array(MAX_TOKENIZED_BYTES);
  readonly #encoder = new TextEncoder();

  constructor(encode: Encode, ranks: ReadonlyArray<string | number[]>) {
    this.#encode = encode;
    this.#ranks = ranks;
  }

  /** Tokens of several texts in all; exact up to 16 KiB, beyond that extrapolated from what was counted, upward. */
  count(texts: Iterable<string>): number {
    let tokens = 0;
    let counted = 0;
    let rest = 0;
    for (const text of texts) {
      const head = this.#head(text, MAX_TOKENIZED_BYTES - counted);
      tokens += this.#tokenize(text.slice(0, head.chars)).length;
      counted += head.bytes;
      if (head.chars < text.length) rest += Buffer.byteLength(text) - head.bytes;
    }
    const tokensPerByte = Math.max(tokens / Math.max(counted, 1), 1 / BYTES_PER_TOKEN);
    return tokens + Math.ceil(rest * tokensPerByte);
  }

  /**
   * Cuts at tokens, never inside of a character: the tokens of an emoji come as one piece. Places are found in the text
   * itself by the tokens' lengths, so that all pieces together are the text. (The tokenizer's own `decode` keeps the
   * state of half a character in a global, which two streams would share.)
   */
  split(illFormed: string, { maxTokens, isOurs = false }: SplitOptions): Split {
    const text = illFormed.toWellFormed();
    const head = isOurs ? text.length : this.#head(text, MAX_TOKENIZED_BYTES).chars;
    const cutter = new Cutter(text, maxTokens);
    for (const token of this.#tokenize(text.slice(0, head))) cutter.push(this.#byteLength(token));
    // Beyond what is tokenized, a piece is as long as a token usually is.
    while (cutter.canGoOn) cutter.push(BYTES_PER_TOKEN);
    return cutter.done();
  }

  #tokenize(text: string): number[] {
    const tokens: number[] = [];
    let from = 0;
    for (const run of text.matchAll(LONG_RUN)) {
      const to = run.index + run[0].length;
      for (const token of this.#encode(text.slice(from, to), NO_SPECIAL_TOKENS)) tokens.push(token);
      from = to;
    }
    for (const token of this.#encode(text.slice(from), NO_SPECIAL_TOKENS)) tokens.push(token);
    return tokens;
  }

  /** As many whole characters as fit into `maxBytes`. */
  #head(text: string, maxBytes: number): { chars: number; bytes: number } {
    const { read, written } = this.#encoder.encodeInto(text, this.#scratch.subarray(0, maxBytes));
    return { chars: read, bytes: written };
  }

  #byteLength(token: number): number {
    const meaning = this.#ranks[token];
    return typeof meaning === 'string' ? Buffer.byteLength(meaning) : (meaning?.length ?? 0);
  }
}

/** Walks along a text, token by token, and notes where each one that completes a character ends. */
class Cutter {
  readonly #text: string;
  readonly #maxTokens: number;
  readonly #ends: number[] = [];
  #tokens = 0;
  #at = 0;
  /** UTF-8 bytes of the text before `#at`, and of the tokens pushed. */
  #textBytes = 0;
  #tokenBytes = 0;

  constructor(text: string, maxTokens: number) {
    this.#text = text;
    this.#maxTokens = maxTokens;
  }

  get canGoOn(): boolean {
    return this.#at < this.#text.length && this.#tokens < this.#maxTokens;
  }

  push(bytes: number): void {
    if (!this.canGoOn) return;
    const from = this.#at;
    this.#tokens++;
    this.#tokenBytes += bytes;
    while (this.#at < this.#text.length) {
      const character = this.#text.codePointAt(this.#at) as number;
      const size = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
      if (this.#textBytes + size > this.#tokenBytes) break;
      this.#textBytes += size;
      this.#at += size === 4 ? 2 : 1;
    }
    if (this.#at > from) this.#ends.push(this.#at);
  }

  done(): Split {
    const isWhole = this.#at === this.#text.length;
    return { text: this.#text.slice(0, this.#at), ends: Uint32Array.from(this.#ends), tokens: this.#tokens, isWhole };
  }
}
