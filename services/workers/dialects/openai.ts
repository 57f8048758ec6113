import type { Prefill } from '../../../shared/config.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Endpoint } from '../../../shared/messages/envelope.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import { editBytes, textOf } from '../core/edit-bytes.ts';
import type { Edit } from '../core/edit-bytes.ts';
import { boundOutput } from './bound-output.ts';
import type { Dialect, PlainAnswer, Target, UpstreamRequest } from './dialect.ts';
import { locateField } from './locate-field.ts';
import { isRecord, readOpenAiError } from './openai-error.ts';
import { OpenAiStream } from './openai-stream.ts';
import { readOpenAiUsage } from './openai-usage.ts';

const PATHS: Record<Endpoint, string> = { chat: '/chat/completions', embeddings: '/embeddings' };
const ASK_FOR_USAGE = Buffer.from('"stream_options":{"include_usage":true},');
const PREFIX = Buffer.from(',"prefix":true');
const CONTINUE_FINAL_MESSAGE = Buffer.from('"continue_final_message":true,"add_generation_prompt":false,');
const NOTHING = Buffer.alloc(0);
const OPEN_BRACE = 0x7b;

/** OpenAI's API on both sides: bytes pass, and only what must differ is written over. */
export const openai: Dialect = {
  encodeRequest: (task, body, target) => ({
    path: PATHS[task.endpoint],
    accept: task.stream ? 'text/event-stream' : 'application/json',
    body: encodeBody(task, body, target),
  }),
  readAnswer,
  readStream: (task) => new OpenAiStream(task.model, task.includeUsage, task.continues),
  readError: readOpenAiError,
};

function encodeBody(
  task: TaskHead,
  body: readonly Buffer[],
  { upstreamModel, prefill, outputLimit }: Target,
): UpstreamRequest['body'] {
  const edits: Edit[] = [];
  if (upstreamModel !== task.model) edits.push({ at: task.modelAt, bytes: Buffer.from(JSON.stringify(upstreamModel)) });
  if (task.stream && !task.includeUsage) edits.push(askForUsage(task, body));
  if (task.continues !== undefined) edits.push(...askToContinue(task.continues.messageEnd, body, prefill));
  if (task.outputBound !== undefined) edits.push(...boundOutput(body, task.outputBound, outputLimit));
  for (const at of task.dropAt ?? []) edits.push({ at, bytes: NOTHING });
  return edits.length === 0 ? body : editBytes(body, edits);
}

/** A stream's usage comes only when asked for; the ledger needs it whether or not the client does. */
function askForUsage(task: TaskHead, body: readonly Buffer[]): Edit {
  if (task.streamOptionsAt === null) {
    const afterBrace = (body[0] as Buffer).indexOf(OPEN_BRACE) + 1;
    return { at: [afterBrace, afterBrace], bytes: ASK_FOR_USAGE };
  }
  const options: unknown = JSON.parse(textOf(body, task.streamOptionsAt));
  const asked = { ...(isRecord(options) ? options : {}), include_usage: true };
  return { at: task.streamOptionsAt, bytes: Buffer.from(JSON.stringify(asked)) };
}

/** The body ends with the assistant's unfinished message; how a provider is told to go on with it differs. */
function askToContinue(messageEnd: number, body: readonly Buffer[], prefill: Prefill): readonly Edit[] {
  switch (prefill) {
    case 'none':
    case 'assistant':
      return [];
    case 'prefix':
      return [{ at: [messageEnd, messageEnd], bytes: PREFIX }];
    case 'continue_final_message': {
      const afterBrace = (body[0] as Buffer).indexOf(OPEN_BRACE) + 1;
      return [{ at: [afterBrace, afterBrace], bytes: CONTINUE_FINAL_MESSAGE }];
    }
  }
}

/** A 200 is an answer only when it is one: JSON, whole, and with what was asked for in it. */
function readAnswer(task: TaskHead, body: Buffer): PlainAnswer {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString('latin1'));
  } catch {
    throw new GatewayError('upstream_malformed', 'The provider answered with something that is not JSON.');
  }
  if (!isRecord(answer))
    throw new GatewayError('upstream_malformed', 'The provider answered with JSON that is no object.');
  if (isRecord(answer['error']))
    throw new GatewayError('upstream_failed', 'The provider reported an error with a status of success.');
  const items = answer[task.endpoint === 'chat' ? 'choices' : 'data'];
  if (!Array.isArray(items) || items.length === 0)
    throw new GatewayError('upstream_malformed', 'The provider’s answer holds no result.');
  const usage = readOpenAiUsage(answer['usage']);
  const finish = task.endpoint === 'chat' ? finishOf(items) : null;
  if (typeof answer['model'] !== 'string' || answer['model'] === task.model) return { body: [body], usage, finish };
  const at = locateField(body, 'model');
  if (at === undefined) return { body: [body], usage, finish };
  return { body: editBytes([body], [{ at, bytes: Buffer.from(JSON.stringify(task.model)) }]), usage, finish };
}

function finishOf(choices: readonly unknown[]): string | null {
  for (const choice of choices) {
    if (!isRecord(choice) || !isRecord(choice['message']))
      throw new GatewayError('upstream_malformed', 'The provider’s answer has a choice without a message.');
  }
  const reason = (choices[0] as Record<string, unknown>)['finish_reason'];
  return typeof reason === 'string' ? reason : null;
}
