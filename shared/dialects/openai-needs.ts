import type { Need, PromptSketch } from '../messages/envelope.ts';

/** OpenAI's own rule of thumb for English text. */
const CHARS_PER_TOKEN = 4;
/** What OpenAI documents for an image of `detail: low`, whatever its size. */
const LOW_DETAIL_TOKENS = 85;
/** The same for 1024 × 1024 in high detail: nobody looks into the image for its size, so every other one counts as this. */
const IMAGE_TOKENS = 765;
/**
 * The most that a provider is known to count for one image: gpt-4o-mini's 2,833 and 5,667 for each tile of 512 pixels, of
 * which there are 8 at most.
 */
const MOST_IMAGE_TOKENS = 48_169;
/** What chat templates add besides the JSON around a message, which is longer than the marks that replace it. */
const TEMPLATE_TOKENS = 64;
/** The most that a provider is known to put before a request's tools to explain them. */
const TOOL_PREAMBLE_TOKENS = 640;
/** Sound in base64 at the lowest rate that codecs know, 1 KB a second, of which models make 32 tokens at most. */
const LEAST_SOUND_CHARS_PER_TOKEN = 32;
/** Messages, their parts and nodes of tool definitions that are looked at; a body may hold millions of them. */
const MAX_WALKED = 10_000;
const MAX_SKETCHED_CHARS = 16 * 1024;
const QUOTE = 0x22;

/** Content parts that only some models understand. */
const NEED_OF_PART: Readonly<Record<string, Need>> = {
  image_url: 'vision',
  input_image: 'vision',
  input_audio: 'audio',
  file: 'pdf',
};

/** Parts whose text stands in the body, and is counted with it. */
const TEXT_PARTS: ReadonlySet<string> = new Set(['text', 'refusal', 'input_text', 'output_text', 'thinking']);

type Fields = Readonly<Record<string, unknown>>;

/** What of a request decides who can serve it, and what that may cost. */
export interface Demand {
  readonly needs: readonly Need[];
  /**
   * Estimated: a token for each 4 characters of text in messages, tool definitions and schema, 85 for an image of low
   * detail and 765 for any other. Audio and files count nothing: their bytes do not tell.
   */
  readonly inputTokens: number;
  /** Of all choices together. undefined: the request does not say. */
  readonly maxOutputTokens: number | undefined;
  /** What can be told of the most that it may use. */
  readonly bounds: TokenBounds;
  /** Those of the fields that bound its output that are there, in whatever form. */
  readonly boundedBy: ReadonlyArray<(typeof BOUNDING_FIELDS)[number]>;
}

/** What a reservation is made of: no answer counts more tokens than these, whatever tokenizer its model has. */
export interface TokenBounds {
  /**
   * Bytes of the body but for images, sounds and files, since no tokenizer makes more than one token of a byte; the most
   * that these count; and what templates add.
   */
  readonly inputTokens: number;
  /** Something in it has a size that nobody can tell from here (a file by its id): it may be as long as a model takes. */
  readonly isOpenEnded: boolean;
  /** Of each choice. undefined: the request does not say. */
  readonly outputTokens: number | undefined;
  /** undefined: `n` is there, and is no count. */
  readonly choices: number | undefined;
}

/** What the output's part of the bounds is read from. */
const BOUNDING_FIELDS = ['max_completion_tokens', 'max_tokens', 'n'] as const;

/** What a sketch is made of, for the few routes that want one. */
export interface Prompt extends Pick<PromptSketch, 'systemChars' | 'totalChars' | 'turns' | 'tools' | 'wantsSchema'> {
  /** The content of the last message of the user, as it came. */
  readonly lastContent: unknown;
}

interface Tally {
  readonly needs: Need[];
  chars: number;
  /** Characters of images, sounds and files, in base64 or as a URL. */
  mediaChars: number;
  imageTokens: number;
  /** At most, of the same: for `TokenBounds`. */
  mediaTokens: number;
  isOpenEnded: boolean;
  /** What may still be looked at. Below zero: something was not. */
  left: number;
}

/**
 * What a chat request needs, in one walk over its messages and tools. After `MAX_WALKED` of them the rest is judged by its
 * bytes: a token for each 4, and a need wherever the type of such a part stands as a string.
 * @param request its messages are a list of objects
 */
export function readChatDemand(request: Fields, body: Buffer): Demand & { readonly prompt: Prompt } {
  const tally: Tally = {
    needs: [],
    chars: 0,
    mediaChars: 0,
    imageTokens: 0,
    mediaTokens: 0,
    isOpenEnded: false,
    left: MAX_WALKED,
  };
  const messages = request['messages'] as readonly Fields[];
  let systemChars = 0;
  let turns = 0;
  for (const message of messages) {
    if (--tally.left < 0) break;
    const before = tally.chars;
    countMessage(tally, message);
    const role = message['role'];
    if (role === 'user') turns++;
    else if (role === 'system' || role === 'developer') systemChars += tally.chars - before;
  }
  const totalChars = tally.chars;
  const tools = listOf(request['tools']).length + listOf(request['functions']).length;
  if (tools > 0) {
    tally.needs.push('tools');
    countText(tally, request['tools']);
    countText(tally, request['functions']);
  }
  const format = request['response_format'];
  const wantsSchema = isFields(format) && format['type'] === 'json_schema';
  if (wantsSchema) {
    tally.needs.push('schema');
    countText(tally, format);
  }
  if (listOf(request['modalities']).includes('audio')) addNeed(tally, 'audio');
  if (tally.left < 0) countBytes(tally, body);
  return {
    needs: tally.needs,
    inputTokens: tokensOf(tally.chars) + tally.imageTokens,
    maxOutputTokens: maxOutputTokensOf(request),
    bounds: boundsOf(request, body, tally, tools > 0),
    boundedBy: BOUNDING_FIELDS.filter((field) => request[field] !== undefined),
    prompt: { lastContent: lastOfUser(messages), systemChars, totalChars, turns, tools, wantsSchema },
  };
}

/** Embeddings cost their input: the tokens that are given, or a quarter of the characters. */
export function readEmbeddingsDemand(input: unknown, body: Buffer): Demand {
  const bounds = { inputTokens: body.length, isOpenEnded: false, outputTokens: 0, choices: 1 };
  return { needs: [], inputTokens: inputTokensOf(input, body), maxOutputTokens: undefined, bounds, boundedBy: [] };
}

/** What the strategy `complexity` looks at. */
export function sketchOf({ lastContent, ...counts }: Prompt): PromptSketch {
  return { lastUser: textOf(lastContent).slice(-MAX_SKETCHED_CHARS), ...counts };
}

function countMessage(tally: Tally, message: Fields): void {
  const content = message['content'];
  if (typeof content === 'string') tally.chars += content.length;
  else if (Array.isArray(content)) countParts(tally, content);
  if (message['tool_calls'] !== undefined) countText(tally, message['tool_calls']);
  if (message['function_call'] !== undefined) countText(tally, message['function_call']);
}

function countParts(tally: Tally, parts: readonly unknown[]): void {
  for (const part of parts) {
    if (--tally.left < 0) return;
    if (!isFields(part)) continue;
    const { type, text, refusal } = part;
    if (typeof text === 'string') tally.chars += text.length;
    if (typeof refusal === 'string') tally.chars += refusal.length;
    if (typeof type !== 'string') continue;
    if (!Object.hasOwn(NEED_OF_PART, type)) {
      tally.isOpenEnded ||= !TEXT_PARTS.has(type);
      continue;
    }
    const need = NEED_OF_PART[type] as Need;
    addNeed(tally, need);
    const media = part[type];
    const mediaChars = longestOf(media);
    tally.mediaChars += mediaChars;
    if (need !== 'vision') {
      countSound(tally, need, media, mediaChars);
      continue;
    }
    tally.mediaTokens += MOST_IMAGE_TOKENS;
    const detail = part['detail'] ?? (isFields(media) ? media['detail'] : undefined);
    tally.imageTokens += detail === 'low' ? LOW_DETAIL_TOKENS : IMAGE_TOKENS;
  }
}

/** Sounds and files are at most so many tokens; a file by its id, or by a URL, may be anything. */
function countSound(tally: Tally, need: Need, media: unknown, mediaChars: number): void {
  const isThere = isFields(media) && (typeof media['data'] === 'string' || typeof media['file_data'] === 'string');
  if (!isThere) tally.isOpenEnded = true;
  else if (need === 'audio') tally.mediaTokens += Math.ceil(mediaChars / LEAST_SOUND_CHARS_PER_TOKEN);
  // A page's text is compressed in it, its pictures are counted besides: a token for each character is more than either.
  else tally.mediaTokens += mediaChars;
}

/** The characters of an image, a sound or a file: a URL itself, or the longest thing in the object around it. */
function longestOf(media: unknown): number {
  if (typeof media === 'string') return media.length;
  if (!isFields(media)) return 0;
  const data = media['url'] ?? media['data'] ?? media['file_data'];
  return typeof data === 'string' ? data.length : 0;
}

/** Keys and strings of a JSON value; on a stack of its own, since the client chooses the depth. */
function countText(tally: Tally, root: unknown): void {
  const stack: unknown[] = [root];
  while (stack.length > 0) {
    const value = stack.pop();
    if (typeof value === 'string') tally.chars += value.length;
    else if (Array.isArray(value)) {
      for (const item of value as unknown[]) {
        if (--tally.left < 0) return;
        stack.push(item);
      }
    } else if (isFields(value)) {
      for (const key in value) {
        if (--tally.left < 0) return;
        tally.chars += key.length;
        stack.push(value[key]);
      }
    }
  }
}

/** The walk was cut short: what it did not see is counted as bytes, its syntax too. */
function countBytes(tally: Tally, body: Buffer): void {
  tally.chars = Math.max(tally.chars, body.length - tally.mediaChars);
  for (const [type, need] of Object.entries(NEED_OF_PART))
    if (!tally.needs.includes(need) && holdsString(body, type)) tally.needs.push(need);
}

/** Looked for without its first quote: that one stands everywhere, and the native search would stop at each. */
function holdsString(body: Buffer, text: string): boolean {
  const ending = `${text}"`;
  let at = body.indexOf(ending, 0, 'latin1');
  for (let left = MAX_WALKED; at > 0 && body[at - 1] !== QUOTE; left--) {
    // What looks like it so often is taken for it.
    if (left === 0) return true;
    at = body.indexOf(ending, at + 1, 'latin1');
  }
  return at > 0;
}

function inputTokensOf(input: unknown, body: Buffer): number {
  if (typeof input === 'string') return tokensOf(input.length);
  const items = listOf(input);
  if (typeof items[0] === 'number') return items.length;
  if (items.length > MAX_WALKED) return tokensOf(body.length);
  let chars = 0;
  let tokens = 0;
  for (const item of items) {
    if (typeof item === 'string') chars += item.length;
    else tokens += Array.isArray(item) ? item.length : 1;
  }
  return tokensOf(chars) + tokens;
}

function boundsOf(request: Fields, body: Buffer, tally: Tally, hasTools: boolean): TokenBounds {
  const { mediaChars, mediaTokens, isOpenEnded } = tally;
  const added = TEMPLATE_TOKENS + (hasTools ? TOOL_PREAMBLE_TOKENS : 0);
  const each = request['max_completion_tokens'] ?? request['max_tokens'];
  const choices = request['n'] ?? 1;
  return {
    inputTokens: Math.max(0, body.length - mediaChars) + mediaTokens + added,
    // What was not looked at may be anything.
    isOpenEnded: isOpenEnded || tally.left < 0,
    outputTokens: isCount(each) ? each : undefined,
    choices: isCount(choices) ? choices : undefined,
  };
}

function maxOutputTokensOf(request: Fields): number | undefined {
  const each = request['max_completion_tokens'] ?? request['max_tokens'];
  if (!isCount(each)) return undefined;
  const choices = request['n'];
  return isCount(choices) ? Math.min(each * choices, Number.MAX_SAFE_INTEGER) : each;
}

/** Looked for from the end, and no further than the walk goes. */
function lastOfUser(messages: readonly Fields[]): unknown {
  const least = Math.max(0, messages.length - MAX_WALKED);
  for (let at = messages.length - 1; at >= least; at--)
    if (messages[at]?.['role'] === 'user') return messages[at]?.['content'];
  return undefined;
}

/** The text of a message's content, no more than is needed of its end. */
function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  const texts: string[] = [];
  let chars = 0;
  for (const part of listOf(content).slice(-MAX_WALKED).toReversed()) {
    if (chars >= MAX_SKETCHED_CHARS) break;
    if (!isFields(part) || typeof part['text'] !== 'string') continue;
    texts.push(part['text']);
    chars += part['text'].length;
  }
  return texts.toReversed().join('\n');
}

function addNeed({ needs }: Tally, need: Need): void {
  if (!needs.includes(need)) needs.push(need);
}

function tokensOf(chars: number): number {
  return Math.ceil(chars / CHARS_PER_TOKEN);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
