/** A plan: how requests of one (script, key, model) are answered; made once, kept while the configuration lasts. */
import { plainJson } from './chat.ts';
import type { ChatAsk } from './chat.ts';
import { drawVerdict } from './script.ts';
import type { Script, Verdict } from './script.ts';
import type { Counters } from './stats.ts';

/** A plain answer's bytes, HTTP head included: id and time of creation are written into them for each request. */
export interface Template {
  bytes: Buffer;
  readonly idAt: number;
  readonly createdAt: number;
  /** What is at `createdAt` now. */
  second: number;
}

/** Past this many sizes of prompt the templates start over. */
const MAX_TEMPLATES = 1_024;
const ID_MARK = '\x01'.repeat(10);
const CREATED_MARK = '\x02'.repeat(10);

let answers = 1_000_000_000;
/** Ten digits, unique in this process. */
export const nextId = (): string => String(++answers);

/** Unix seconds, ten digits. */
export const createdNow = (): string => String(Math.floor(Date.now() / 1000));

/** Writes ten decimal digits. */
function writeDigits(bytes: Buffer, at: number, value: number): void {
  let rest = value;
  for (let place = at + 9; place >= at; place--) {
    const tenth = Math.floor(rest / 10);
    bytes[place] = 48 + rest - tenth * 10;
    rest = tenth;
  }
}

/** Shared by plans of the same label and model, so that a script's order does not depend on keys. */
export interface SeqPosition {
  next: number;
}

export class Plan {
  readonly script: Script;
  /** JSON text between the quotes. */
  readonly model: string;
  readonly key: string;
  readonly counters: Counters;
  readonly #position: SeqPosition;
  readonly #templates = new Map<number, Template>();
  readonly #hasTemplates: boolean;

  constructor(script: Script, model: string, key: string, counters: Counters, position: SeqPosition) {
    this.script = script;
    this.model = model;
    this.key = key;
    this.counters = counters;
    this.#position = position;
    this.#hasTemplates = !script.ratelimit && !script.tools; // there the id occurs more than once
  }

  verdict(): Verdict {
    const { seq } = this.script;
    if (seq.length === 0) return drawVerdict(this.script, Math.random);
    return seq[this.#position.next++ % seq.length] ?? 'ok';
  }

  /** Tokens of one choice for a request's max_tokens (0: no limit). */
  tokens(maxTokens: number): number {
    const { n, firehose, tools } = this.script;
    const wanted = maxTokens > 0 && maxTokens < n && !firehose ? maxTokens : n;
    return tools ? Math.max(2, wanted) : wanted;
  }

  choices(requested: number): number {
    return this.script.choices > 0 ? this.script.choices : Math.max(1, Math.min(requested, 128));
  }

  /** A healthy plain answer as a binary string, for the scripts that have no template. */
  plainAnswer(promptTokens: number, n: number, choices: number, isClosing: boolean): string {
    const id = nextId();
    return okJson(this.script, plainJson(this.#ask(promptTokens, n, choices, id, createdNow())), id, isClosing);
  }

  /**
   * A healthy plain answer, ready to send; undefined: use `plainAnswer`. The bytes are written over by the next call: when
   * the socket has not taken them all, the caller replaces `bytes` by a copy.
   */
  template(promptTokens: number, n: number, choices: number, isClosing: boolean): Template | undefined {
    if (!this.#hasTemplates) return undefined;
    // one number for the four things that change the text
    const key = ((promptTokens * 65_536 + n) * 129 + choices) * 2 + (isClosing ? 1 : 0);
    const template = this.#templates.get(key) ?? this.#makeTemplate(key, promptTokens, n, choices, isClosing);
    writeDigits(template.bytes, template.idAt, ++answers);
    const second = Math.floor(Date.now() / 1000);
    if (second !== template.second) {
      template.second = second;
      writeDigits(template.bytes, template.createdAt, second);
    }
    return template;
  }

  #makeTemplate(key: number, promptTokens: number, n: number, choices: number, isClosing: boolean): Template {
    const json = plainJson(this.#ask(promptTokens, n, choices, ID_MARK, CREATED_MARK));
    const bytes = Buffer.from(okJson(this.script, json, '', isClosing), 'latin1');
    const template = { bytes, idAt: bytes.indexOf(ID_MARK), createdAt: bytes.indexOf(CREATED_MARK), second: 0 };
    if (this.#templates.size >= MAX_TEMPLATES) this.#templates.clear();
    this.#templates.set(key, template);
    return template;
  }

  #ask(promptTokens: number, n: number, choices: number, id: string, created: string): ChatAsk {
    const { script, model } = this;
    const isShortened = n < script.n;
    return { script, verdict: 'ok', model, id, created, promptTokens, n, isShortened, choices, includeUsage: true };
  }
}

/** Header lines that the script adds to every answer. */
export function extraHeaders(script: Script, id: string): string {
  let lines = '';
  if (script.ratelimit) {
    lines +=
      `x-request-id: req_mock${id}\r\nopenai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\nopenai-organization: org-mock\r\n` +
      'x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000\r\nx-ratelimit-remaining-requests: 9999\r\n' +
      'x-ratelimit-remaining-tokens: 1999000\r\nx-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 30ms\r\n';
  }
  if (script.setcookie) {
    lines +=
      'set-cookie: __cf_bm=mock; path=/; HttpOnly; Secure\r\nset-cookie: _cfuvid=mock; path=/; HttpOnly; SameSite=None\r\n';
  }
  return lines;
}

/** A whole answer with a content-length; `body` is a binary string. */
export function answer(status: string, type: string, body: string, headers: string, isClosing: boolean): string {
  return `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\n${headers}${isClosing ? 'connection: close\r\n' : ''}content-length: ${body.length}\r\n\r\n${body}`;
}

export function okJson(script: Script, body: string, id: string, isClosing: boolean): string {
  return answer('200 OK', 'application/json', body, extraHeaders(script, id), isClosing);
}
