import { parseOpenAiRequest } from '../../../shared/dialects/openai.ts';
import { DuplicateKey, locateTopLevel } from '../../../shared/json-locate.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import type { AdmittedRequest } from '../request.ts';

/** What a client has of an answer that broke off. */
export interface SaidSoFar {
  /** Of the stream, as its first chunk told them. */
  readonly id: string;
  readonly created: number;
  /** The assistant's text. */
  readonly text: string;
}

/** A request for the rest of an answer, and the stream that the rest belongs to. */
export interface Continuation {
  readonly request: AdmittedRequest;
  readonly continues: NonNullable<TaskHead['continues']>;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a chat stream as its client got it.
 * @returns undefined when nobody can go on from it: it broke inside an event, has come to a finish, has said no text yet,
 * or something besides text (a tool call, a refusal, sound, a second choice)
 */
export function readSaid(stream: Buffer): SaidSoFar | undefined {
  const events = stream.toString('utf8').replaceAll(/\r\n?/g, '\n').split('\n\n');
  if (events.pop() !== '') return undefined;
  let first: { id: string; created: number } | undefined;
  let text = '';
  for (const event of events) {
    const data = dataOf(event);
    if (data === '') continue;
    const chunk = parse(data);
    const said = chunk === undefined ? undefined : textOf(chunk);
    if (chunk === undefined || said === undefined) return undefined;
    if (isList(chunk['choices']) && chunk['choices'].length > 0) first ??= nameOf(chunk);
    text += said;
  }
  return first === undefined || text === '' ? undefined : { ...first, text };
}

/**
 * The request for the rest of an answer: the conversation with the text so far as the assistant's last, unfinished
 * message, and so many tokens fewer. Every other byte stays.
 * @returns undefined when no text can be gone on with as it stands: several choices, a grammar that would begin anew, or a
 * last message that is the assistant's already
 */
export function continueRequest(
  request: AdmittedRequest,
  said: SaidSoFar,
  tokensSoFar: number,
): Continuation | undefined {
  const { body } = request;
  const value = parse(body.toString('utf8'));
  if (value === undefined || !isContinuable(value)) return undefined;
  const at = locate(body, ['messages', ...LIMITS]);
  const messages = at?.get('messages');
  if (at === undefined || messages === undefined) return undefined;
  const message = `,${JSON.stringify({ role: 'assistant', content: said.text })}`;
  const edits = [{ start: messages[1] - 1, end: messages[1] - 1, put: message }];
  for (const limit of LIMITS) {
    const [range, tokens] = [at.get(limit), value[limit]];
    if (range === undefined || typeof tokens !== 'number') continue;
    edits.push({ start: range[0], end: range[1], put: String(Math.max(1, tokens - tokensSoFar)) });
  }
  edits.sort((a, b) => a.start - b.start);
  const parts: Buffer[] = [];
  let from = 0;
  let length = 0;
  let messageEnd = 0;
  for (const { start, end, put } of edits) {
    const bytes = Buffer.from(put);
    parts.push(body.subarray(from, start), bytes);
    length += start - from + bytes.length;
    if (put === message) messageEnd = length - 1;
    from = end;
  }
  parts.push(body.subarray(from));
  const parsed = parseOpenAiRequest(request.endpoint, Buffer.concat(parts));
  const { id, created } = said;
  const { kin } = request;
  return {
    request: { ...request, ...parsed, kin, sluice: undefined, metadata: undefined, prompt: undefined },
    continues: { id, created, messageEnd },
  };
}

const LIMITS = ['max_tokens', 'max_completion_tokens'];

function isContinuable({ n, messages, response_format: format }: Json): boolean {
  if ((n ?? 1) !== 1 || !isList(messages)) return false;
  const last = messages.at(-1);
  if (!isRecord(last) || last['role'] === 'assistant') return false;
  return !isRecord(format) || format['type'] === 'text';
}

/** undefined: a key stands twice, and providers may differ in which of them counts. */
function locate(body: Buffer, keys: readonly string[]): ReturnType<typeof locateTopLevel> | undefined {
  try {
    return locateTopLevel(body, keys);
  } catch (failure) {
    if (failure instanceof DuplicateKey) return undefined;
    throw failure;
  }
}

/** The data of one event (WHATWG HTML, 9.2.6); empty for a comment. */
function dataOf(event: string): string {
  const lines = event.split('\n').filter((line) => line.startsWith('data:'));
  return lines.map((line) => line.slice(line.startsWith('data: ') ? 6 : 5)).join('\n');
}

function nameOf({ id, created }: Json): { id: string; created: number } {
  return { id: typeof id === 'string' ? id : '', created: typeof created === 'number' ? created : 0 };
}

/** What a chunk adds to the text of the one choice; undefined when it brings anything else, or the end. */
function textOf({ choices }: Json): string | undefined {
  if (!isList(choices)) return undefined;
  let text = '';
  for (const choice of choices) {
    if (!isRecord(choice) || (choice['index'] ?? 0) !== 0 || (choice['finish_reason'] ?? null) !== null)
      return undefined;
    const delta = choice['delta'];
    if (!isRecord(delta)) continue;
    for (const kind of ['tool_calls', 'function_call', 'refusal', 'audio']) if (!isEmpty(delta[kind])) return undefined;
    if (typeof delta['content'] === 'string') text += delta['content'];
    else if (!isEmpty(delta['content'])) return undefined;
  }
  return text;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (isList(value) && value.length === 0);
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** undefined: no JSON object (`[DONE]`, or something that is none). */
function parse(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    // Whoever made it is told so elsewhere, or it is an end mark: nobody goes on from here.
    return undefined;
  }
}
