import { z } from 'zod';
import { Refusal, parseBody } from './refusal.ts';

/** OpenAI's own bound; past it a body of many tiny messages would cost seconds to look at. */
const MAX_MESSAGES = 2_048;
const MAX_CHOICES = 4;
const MAX_STOPS = 4;
const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'] as const;
const MAY_BE_SILENT: readonly string[] = ['assistant', 'function'];

const Part = z.looseObject({ type: z.string(), text: z.string().nullish(), refusal: z.string().nullish() });
const Message = z
  .looseObject({
    role: z.enum(ROLES),
    content: z.union([z.string(), z.array(Part)]).nullish(),
    name: z.string().nullish(),
    tool_calls: z.array(z.unknown()).nullish(),
  })
  .superRefine(({ role, content }, context) => {
    if (content !== undefined && content !== null) return;
    if (MAY_BE_SILENT.includes(role)) return;
    const message = `Invalid value for 'content': expected a string or an array of parts for the role '${role}'.`;
    context.addIssue({ code: 'custom', path: ['content'], message, params: { code: 'invalid_type' } });
  });

const tokenLimit = z.int().min(1).nullish();
const FunctionTool = z.looseObject({ name: z.string().min(1), parameters: z.looseObject({}).nullish() });
const Tool = z.looseObject({ type: z.string(), function: FunctionTool.nullish() });
const NamedTool = z.looseObject({ type: z.string(), function: z.looseObject({ name: z.string() }).nullish() });

const ChatBody = z.looseObject({
  model: z.string(),
  messages: z.array(z.unknown()).min(1).max(MAX_MESSAGES).pipe(z.array(Message)),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: tokenLimit,
  max_completion_tokens: tokenLimit,
  n: z.int().min(1).max(MAX_CHOICES).nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  seed: z.int().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  tools: z.array(Tool).nullish(),
  tool_choice: z.union([z.enum(['none', 'auto', 'required']), NamedTool]).nullish(),
});
type ChatBody = z.infer<typeof ChatBody>;
type Message = z.infer<typeof Message>;
type FunctionTool = z.infer<typeof FunctionTool>;

export interface ChatRequest {
  readonly model: string;
  /** What the last user message says; empty when there is none. */
  readonly lastUserText: string;
  /** What counts as prompt, apart from what OpenAI adds to each message. */
  readonly promptTexts: readonly string[];
  readonly extraPromptTokens: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly maxTokens: number | undefined;
  readonly choices: number;
  readonly stops: readonly string[];
  readonly seed: number | undefined;
  /** The function that the request insists on. */
  readonly mustCall: FunctionTool | undefined;
}

/** @throws Refusal */
export function readChatRequest(json: unknown): ChatRequest {
  const body = parseBody(ChatBody, json);
  if (isGiven(body.stream_options) && body.stream !== true) {
    throw new Refusal(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", {
      param: 'stream_options',
    });
  }
  if (isGiven(body.max_tokens) && isGiven(body.max_completion_tokens)) {
    const message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
    throw new Refusal(400, message, { param: 'max_tokens', code: 'invalid_parameter_combination' });
  }
  const lastUser = body.messages.findLast(({ role }) => role === 'user');
  return {
    model: body.model,
    lastUserText: lastUser === undefined ? '' : textOf(lastUser),
    promptTexts: promptTexts(body),
    extraPromptTokens: extraPromptTokens(body.messages),
    stream: body.stream === true,
    includeUsage: body.stream_options?.include_usage === true,
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
    choices: body.n ?? 1,
    stops: readStops(body.stop),
    seed: body.seed ?? undefined,
    mustCall: readMustCall(body),
  };
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function textOf({ content }: Message): string {
  if (typeof content === 'string') return content;
  const parts = content ?? [];
  return parts
    .map((part) => part.text ?? part.refusal ?? '')
    .filter((text) => text !== '')
    .join('\n');
}

function promptTexts(body: ChatBody): string[] {
  const texts = body.messages.flatMap((message) => [message.role, textOf(message), message.name ?? '']);
  for (const { tool_calls } of body.messages) if (isGiven(tool_calls)) texts.push(JSON.stringify(tool_calls));
  if (isGiven(body.tools)) texts.push(JSON.stringify(body.tools));
  return texts.filter((text) => text !== '');
}

/** As OpenAI's cookbook counts: 3 a message, 1 a name, 3 for the beginning of the reply; an image in low detail is 85. */
function extraPromptTokens(messages: readonly Message[]): number {
  let tokens = 3;
  for (const { name, content } of messages) {
    tokens += isGiven(name) ? 4 : 3;
    if (Array.isArray(content)) tokens += 85 * content.filter(({ type }) => type === 'image_url').length;
  }
  return tokens;
}

function readStops(stop: ChatBody['stop']): string[] {
  const stops = typeof stop === 'string' ? [stop] : (stop ?? []);
  if (stops.length > MAX_STOPS) {
    const message = `Invalid 'stop': expected at most ${MAX_STOPS} items, but got ${stops.length}.`;
    throw new Refusal(400, message, { param: 'stop', code: 'array_above_max_length' });
  }
  return stops.filter((each) => each !== '');
}

function readMustCall({ tools, tool_choice: choice }: ChatBody): FunctionTool | undefined {
  if (!isGiven(choice)) return undefined;
  if (!isGiven(tools) || tools?.length === 0) {
    if (choice === 'none' || choice === 'auto') return undefined;
    throw new Refusal(400, "'tool_choice' is only allowed when 'tools' are specified.", { param: 'tool_choice' });
  }
  const functions = (tools ?? []).flatMap((tool) => tool.function ?? []);
  if (choice === 'required') return functions[0];
  if (typeof choice !== 'object' || !isGiven(choice?.function)) return undefined;
  const named = functions.find(({ name }) => name === choice?.function?.name);
  if (named !== undefined) return named;
  const message = "The function that 'tool_choice' names is not in 'tools'.";
  throw new Refusal(400, message, { param: 'tool_choice', code: 'invalid_value' });
}
