import type OpenAI from 'openai';

export type Chunk = OpenAI.ChatCompletionChunk;

/** OpenAI's error object, as it stands in a body or in an event. */
export interface ErrorObject {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

/** A chat stream as its client got it. */
export interface ReadStream {
  /** Everything, as text. */
  readonly text: string;
  /** The data of every event, `[DONE]` too. */
  readonly events: readonly string[];
  readonly comments: readonly string[];
  /** The events that are chunks. */
  readonly chunks: readonly Chunk[];
  /** The error objects among the events. */
  readonly errors: readonly ErrorObject[];
  readonly isDone: boolean;
}

/** Splits a whole stream, the slow and obvious way (WHATWG HTML, 9.2), so that it owes nothing to the gateway's reader. */
export function parseSse(text: string): ReadStream {
  const events: string[] = [];
  const comments: string[] = [];
  for (const block of text.split(/\r\n\r\n|\n\n|\r\r/)) {
    const data: string[] = [];
    for (const line of block.split(/\r\n|\n|\r/)) {
      if (line.startsWith(':')) comments.push(line.slice(1).trim());
      else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
    }
    if (data.length > 0) events.push(data.join('\n'));
  }
  const parsed = events
    .filter((event) => event !== '[DONE]')
    .map((event) => JSON.parse(event) as Chunk | { error: ErrorObject });
  return {
    text,
    events,
    comments,
    chunks: parsed.filter((event) => !('error' in event)) as Chunk[],
    errors: parsed.flatMap((event) => ('error' in event ? [event.error] : [])),
    isDone: events.at(-1) === '[DONE]',
  };
}

/** Reads an answer to its end. */
export async function readStream(response: Response): Promise<ReadStream> {
  return parseSse(await response.text());
}

/** The text of one choice. */
export function textOf(chunks: readonly Chunk[], index = 0): string {
  return chunks.map((chunk) => chunk.choices.find((choice) => choice.index === index)?.delta.content ?? '').join('');
}

/** The finish reasons that were told, in order. */
export function finishesOf(chunks: readonly Chunk[]): string[] {
  return chunks.flatMap(({ choices }) => choices.flatMap(({ finish_reason }) => finish_reason ?? []));
}

/** Reads a body until its text satisfies the predicate, and goes no further. */
export async function readUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  isEnough: (text: string) => boolean,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  while (!isEnough(text)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the stream ended before: ${text.slice(-200)}`);
    text += decoder.decode(value, { stream: true });
  }
  return text;
}
