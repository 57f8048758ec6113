import { randomUUID } from 'node:crypto';
import type { ChatRequest } from './chat-request.ts';
import { loremText } from './lorem.ts';
import { minimalJson } from './minimal-json.ts';
import { seededRandom } from './seeded-random.ts';
import type { Split, Tokenizer } from './tokens.ts';

/** Every text begins with it: nobody shall take a simulated answer for a model's. */
const MARK = '[simulated] ';
/** As much as OpenAI's mid-sized models say at most; the answer ends there with `length`, whatever was asked for. */
const MAX_ANSWER_TOKENS = 16_384;
/** About 120 tokens. */
const DEFAULT_LOREM_CHARS = 500;
/** Lorem has 5.2 characters a token at most: enough to reach any limit. */
const LOREM_CHARS_PER_TOKEN = 6;
/** A tool call costs its arguments, its name and what frames them. */
const TOOL_FRAME_TOKENS = 3;

export interface Choice extends Split {
  readonly finish: 'stop' | 'length' | 'tool_calls';
  /** `text` is the arguments of this call. */
  readonly tool: { readonly id: string; readonly name: string } | undefined;
}

/** All that there is to say, before the first byte of it is sent. */
export interface Answer {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  readonly choices: readonly Choice[];
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export function compose(request: ChatRequest, tokenizer: Tokenizer, epochMs: number): Answer {
  const maxTokens = Math.min(request.maxTokens ?? MAX_ANSWER_TOKENS, MAX_ANSWER_TOKENS);
  const choices = toolCalls(request, tokenizer, maxTokens) ?? texts(request, tokenizer, maxTokens);
  return {
    id: `chatcmpl-${hexId()}`,
    created: Math.floor(epochMs / 1_000),
    model: request.model,
    choices,
    promptTokens: request.extraPromptTokens + tokenizer.count(request.promptTexts),
    completionTokens: choices.reduce((sum, choice) => sum + choice.tokens, 0),
  };
}

function texts(request: ChatRequest, tokenizer: Tokenizer, maxTokens: number): Choice[] {
  if (request.model === 'echo') {
    const split = tokenizer.split(untilStop(MARK + request.lastUserText, request.stops), { maxTokens });
    return Array<Choice>(request.choices).fill(asText(split));
  }
  const chars = request.maxTokens === undefined ? DEFAULT_LOREM_CHARS : maxTokens * LOREM_CHARS_PER_TOKEN;
  return Array.from({ length: request.choices }, (_, index) => {
    const random = seededRandom(`${index}:${request.seed ?? ''}:${request.lastUserText}`);
    const text = untilStop(MARK + loremText(random, chars), request.stops);
    return asText(tokenizer.split(text, { maxTokens, isOurs: true }));
  });
}

/** undefined: none was insisted on, or its arguments are not for us. */
function toolCalls(request: ChatRequest, tokenizer: Tokenizer, maxTokens: number): Choice[] | undefined {
  if (request.mustCall === undefined) return undefined;
  const { name, parameters } = request.mustCall;
  const args = minimalJson(parameters ?? {});
  if (args === undefined) return undefined;
  const frame = TOOL_FRAME_TOKENS + tokenizer.count([name]);
  const split = tokenizer.split(args, { maxTokens: Math.max(maxTokens - frame, 0) });
  return Array.from({ length: request.choices }, () => ({
    ...split,
    tokens: Math.min(split.tokens + frame, maxTokens),
    finish: split.isWhole ? 'tool_calls' : 'length',
    tool: { id: `call_simulated${hexId().slice(0, 16)}`, name },
  }));
}

function asText(split: Split): Choice {
  return { ...split, finish: split.isWhole ? 'stop' : 'length', tool: undefined };
}

/** A stop sequence is not part of the answer. */
function untilStop(text: string, stops: readonly string[]): string {
  let end = text.length;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0) end = Math.min(end, at);
  }
  return text.slice(0, end);
}

function hexId(): string {
  return randomUUID().replaceAll('-', '');
}
