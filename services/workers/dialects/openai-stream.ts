import { GatewayError } from '../../../shared/errors.ts';
import type { TokenUsage } from '../../../shared/messages/attempt.ts';
import type { ByteRange } from '../../../shared/messages/task.ts';
import type { Edit } from '../core/edit-bytes.ts';
import { spliceBytes } from '../core/edit-bytes.ts';
import { EventTooLarge, SseReader } from '../core/parse-sse.ts';
import { SaidText } from '../core/said-text.ts';
import type { StreamReader } from './dialect.ts';
import { locateField } from './locate-field.ts';
import { isRecord, readOpenAiStreamError } from './openai-error.ts';
import { readOpenAiUsage } from './openai-usage.ts';

/** One event may hold a whole image or a 1 MB answer; beyond this the stream is broken. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;
const DONE = Buffer.from('[DONE]');
const WHOLE_END_MARK = Buffer.from('data: [DONE]\n\n');
/** A delta up to here is taken for one token, as OpenAI streams them; a longer one for its bytes divided by four. */
const ONE_TOKEN_BYTES = 16;
const BYTES_PER_TOKEN = 4;

/**
 * A chat completion's stream: every event is parsed, to know what it is and that it is whole (1.4 µs; three searches for
 * names would cost as much and know less), and passed on as the bytes that came. Only the model's name is replaced,
 * and the usage that the client did not ask for is left out. A stream that goes on with another one says that one's `id` and
 * `created`, and no second time who speaks.
 */
export class OpenAiStream implements StreamReader {
  readonly #reader: SseReader;
  readonly #model: Buffer;
  readonly #includeUsage: boolean;
  /** By field, what a continued stream must say in it. */
  readonly #names: readonly Name[] = NO_NAMES;
  readonly #seen = new Set<number>();
  readonly #finished = new Set<number>();
  #output: Buffer[] = [];
  #isDone = false;
  /** The model's value with its quotes, as the stream writes it, and where it stood last: it rarely moves. */
  #upstreamModel: Buffer | undefined;
  #modelAt = 0;
  hasContent = false;
  usage: TokenUsage | undefined;
  outputTokensSoFar = 0;
  readonly said = new SaidText();
  finish: string | null = null;

  /**
   * @param model what the client calls it
   * @param continues the stream that this one goes on with, as its client knows it
   */
  constructor(model: string, includeUsage: boolean, continues?: Identity) {
    this.#model = Buffer.from(JSON.stringify(model));
    if (continues !== undefined) this.#names = namesOf(continues);
    this.#includeUsage = includeUsage;
    this.#reader = new SseReader((raw, data) => this.#onEvent(raw, data), MAX_EVENT_BYTES);
  }

  get isComplete(): boolean {
    return this.#isDone;
  }

  get missing(): string {
    return this.#areAllFinished() ? 'its end mark' : 'its finish reason';
  }

  push(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
    } catch (failure) {
      if (failure instanceof EventTooLarge)
        throw new GatewayError('upstream_malformed', 'The provider sent an event beyond every bound.', {
          cause: failure,
        });
      throw failure;
    }
  }

  end(): void {
    if (this.#reader.partial.toString('latin1').trim() === 'data: [DONE]') this.#onEvent(WHOLE_END_MARK, DONE);
  }

  takeOutput(): Buffer[] {
    const output = this.#output;
    this.#output = [];
    return output;
  }

  #areAllFinished(): boolean {
    return this.#finished.size > 0 && this.#finished.size >= this.#seen.size;
  }

  #onEvent(raw: Buffer, data: Buffer): void {
    if (this.#isDone) return;
    if (data.length === 0) return this.#emit(raw);
    if (data.equals(DONE)) {
      // An end mark before any finish reason is no end: it must not reach the client, and nothing will follow it.
      if (!this.#areAllFinished())
        throw new GatewayError('upstream_cut_off', `The provider’s stream ended without ${this.missing}.`);
      this.#isDone = true;
      return this.#emit(raw);
    }
    const chunk = parseEvent(data);
    if (chunk['error'] !== undefined && chunk['error'] !== null)
      throw readOpenAiStreamError(parseEvent(data, 'utf8')['error']);
    const choices = chunk['choices'];
    if (!Array.isArray(choices)) throw malformed('an event without choices');
    let hasContent = false;
    for (const choice of choices as unknown[]) if (this.#readChoice(choice)) hasContent = true;
    const usage = readOpenAiUsage(chunk['usage']);
    if (usage !== undefined) this.usage = usage;
    if (usage !== undefined && choices.length === 0 && !this.#includeUsage) return;
    if (this.#names !== NO_NAMES && !hasContent && choices.some(isRole)) return;
    const isUsageToHide = chunk['usage'] === null && !this.#includeUsage;
    this.#emitEdited(raw, data, chunk, isUsageToHide);
    // Only now: an event that turns out to be malformed has brought nothing.
    if (hasContent) this.hasContent = true;
  }

  /** Whether it brings something that the client was waiting for. */
  #readChoice(choice: unknown): boolean {
    if (!isRecord(choice)) throw malformed('a choice that is no object');
    const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
    this.#seen.add(index);
    const isFinish = typeof choice['finish_reason'] === 'string';
    if (isFinish) {
      this.#finished.add(index);
      this.finish ??= choice['finish_reason'] as string;
    }
    const bytes = readContent(choice['delta'], this.said);
    if (bytes > 0) this.outputTokensSoFar += bytes <= ONE_TOKEN_BYTES ? 1 : Math.ceil(bytes / BYTES_PER_TOKEN);
    return isFinish || bytes > 0;
  }

  #emitEdited(raw: Buffer, joined: Buffer, chunk: Record<string, unknown>, isUsageToHide: boolean): void {
    const start = joined.byteOffset - raw.byteOffset;
    const isView = joined.buffer === raw.buffer && start >= 0 && start + joined.length <= raw.length;
    // Data of several lines was joined elsewhere; it is written anew as one line.
    const data = isView ? joined : withoutLineFeeds(joined);
    const modelAt = typeof chunk['model'] === 'string' ? this.#locateModel(data) : undefined;
    if (modelAt === undefined && !isUsageToHide && this.#names === NO_NAMES) return this.#emit(raw);
    const edits: Edit[] = [];
    if (modelAt !== undefined) edits.push({ at: modelAt, bytes: this.#model });
    if (isUsageToHide) edits.push({ at: nullUsage(data), bytes: NOTHING });
    for (const { field, bytes } of this.#names) {
      const at = field in chunk ? locateField(data, field) : undefined;
      if (at !== undefined) edits.push({ at, bytes });
    }
    if (edits.length > 1) edits.sort((a, b) => a.at[0] - b.at[0]);
    if (!isView) return this.#emit(Buffer.concat([FIELD, spliceBytes(data, edits), BLANK_LINE]));
    for (const { at } of edits) {
      at[0] += start;
      at[1] += start;
    }
    this.#emit(spliceBytes(raw, edits));
  }

  /** Where the model's value stands, or undefined when it already says what the client calls it. */
  #locateModel(data: Buffer): ByteRange | undefined {
    const known = this.#upstreamModel;
    let at = this.#modelAt;
    if (
      known === undefined ||
      data.compare(known, 0, known.length, at, at + known.length) !== 0 ||
      data[at - 1] !== COLON
    ) {
      const range = locateField(data, 'model');
      if (range === undefined) return undefined;
      at = range[0];
      this.#modelAt = at;
      this.#upstreamModel = Buffer.from(data.subarray(range[0], range[1]));
    }
    const value = this.#upstreamModel as Buffer;
    return value.equals(this.#model) ? undefined : [at, at + value.length];
  }

  #emit(bytes: Buffer): void {
    if (bytes.length > 0) this.#output.push(bytes);
  }
}

const COLON = 0x3a;
const NOTHING = Buffer.alloc(0);
const FIELD = Buffer.from('data: ');
const BLANK_LINE = Buffer.from('\n\n');

/** What a stream calls itself in each of its chunks. */
interface Identity {
  readonly id: string;
  readonly created: number;
}

interface Name {
  readonly field: keyof Identity;
  readonly bytes: Buffer;
}

const NO_NAMES: readonly Name[] = [];

function namesOf({ id, created }: Identity): readonly Name[] {
  return [
    { field: 'id', bytes: Buffer.from(JSON.stringify(id)) },
    { field: 'created', bytes: Buffer.from(String(created)) },
  ];
}

/** The client knows already who speaks. */
function isRole(choice: unknown): boolean {
  return isRecord(choice) && isRecord(choice['delta']) && 'role' in choice['delta'];
}

/** Latin-1 keeps bytes apart as they are and is the fastest to parse; only error texts are read as UTF-8. */
function parseEvent(data: Buffer, encoding: 'latin1' | 'utf8' = 'latin1'): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(data.toString(encoding));
  } catch (cause) {
    throw malformed('an event that is not JSON', cause);
  }
  if (!isRecord(value)) throw malformed('an event that is no object');
  return value;
}

function malformed(what: string, cause?: unknown): GatewayError {
  // A JSON error quotes the text around the fault: it must not travel with the cause into a log.
  return new GatewayError(
    'upstream_malformed',
    `The provider sent ${what}.`,
    cause === undefined ? {} : { cause: new Error('not JSON') },
  );
}

/** Between the tokens of JSON a space says the same as a line's end, and inside of a string there is none. */
function withoutLineFeeds(json: Buffer): Buffer {
  const line = Buffer.from(json);
  for (let at = line.indexOf(LF); at >= 0; at = line.indexOf(LF, at + 1)) line[at] = SPACE;
  return line;
}
const LF = 0x0a;

/**
 * Bytes of what a delta brings. Everything but the role counts: text, refusals, tool calls, reasoning, audio.
 * @param said is told what it says
 */
function readContent(delta: unknown, said: SaidText): number {
  if (!isRecord(delta)) return 0;
  let bytes = 0;
  for (const key in delta) {
    if (key === 'role') continue;
    const value = delta[key];
    if (typeof value === 'string') {
      bytes += value.length;
      said.add(value);
    } else if (Array.isArray(value) ? value.length > 0 : isRecord(value)) bytes += readTool(value, said);
  }
  return bytes;
}

function readTool(value: unknown, said: SaidText): number {
  const text = JSON.stringify(value);
  const bytes = Math.max(1, text.length - TOOL_OVERHEAD_BYTES);
  said.add(text.slice(-bytes));
  return bytes;
}
/** `[{"index":0,"function":{"arguments":""}}]`: what a tool call's delta costs in JSON besides its text. */
const TOOL_OVERHEAD_BYTES = 42;

/** At the very end, where OpenAI writes it: what stands before the last brace is a member of the outermost object. */
const LAST_USAGE = Buffer.from(',"usage":null}');

/** `"usage":null` with the comma on one of its sides. The value is known to be there, at the top level. */
function nullUsage(data: Buffer): ByteRange {
  const last = data.length - LAST_USAGE.length;
  if (last > 0 && data.compare(LAST_USAGE, 0, LAST_USAGE.length, last) === 0) return [last, data.length - 1];
  const value = locateField(data, 'usage') as ByteRange;
  let start = data.lastIndexOf('"', data.lastIndexOf('"', value[0]) - 1);
  while (start > 0 && (data[start - 1] as number) <= SPACE) start--;
  if (data[start - 1] === COMMA) return [start - 1, value[1]];
  let end = value[1];
  while (end < data.length && (data[end] as number) <= SPACE) end++;
  return data[end] === COMMA ? [start, end + 1] : [start, value[1]];
}
const COMMA = 0x2c;
const SPACE = 0x20;
