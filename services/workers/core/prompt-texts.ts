/** OpenAI's own count of what stands around each message, and before the answer. */
const TOKENS_PER_MESSAGE = 4;
const TOKENS_BEFORE_ANSWER = 3;

type Fields = Readonly<Record<string, unknown>>;

/** The texts of a chat request that its model reads, and the tokens of the marks around them. */
export interface PromptTexts {
  readonly texts: readonly string[];
  readonly markTokens: number;
}

/** @returns undefined for a request that is more than text: images and sounds have no tokens that could be counted here */
export function promptTexts(body: string): PromptTexts | undefined {
  const request = parse(body);
  const messages = request?.['messages'];
  if (request === undefined || !Array.isArray(messages)) return undefined;
  const texts: string[] = [];
  for (const message of messages as unknown[]) {
    if (!isFields(message)) return undefined;
    const { content } = message;
    if (typeof content === 'string') texts.push(content);
    else if (Array.isArray(content)) {
      for (const part of content as unknown[]) {
        if (!isFields(part) || typeof part['text'] !== 'string') return undefined;
        texts.push(part['text']);
      }
    }
    if (message['tool_calls'] !== undefined) texts.push(JSON.stringify(message['tool_calls']));
  }
  for (const name of ['tools', 'functions', 'response_format'])
    if (request[name] !== undefined) texts.push(JSON.stringify(request[name]));
  return { texts, markTokens: TOKENS_PER_MESSAGE * messages.length + TOKENS_BEFORE_ANSWER };
}

function parse(body: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return isFields(value) ? value : undefined;
  } catch {
    // The ingress has parsed it; whoever sends something else gets the estimate.
    return undefined;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
