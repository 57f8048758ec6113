import { endianness } from 'node:os';
import { z } from 'zod';
import { Refusal, parseBody } from './refusal.ts';
import { seededRandom } from './seeded-random.ts';
import type { Tokenizer } from './tokens.ts';

const DEFAULT_DIMENSIONS = 256;
/** OpenAI's largest embedding, and its longest list of inputs. */
const MAX_DIMENSIONS = 3_072;
const MAX_INPUTS = 2_048;

const EmbeddingsBody = z.looseObject({
  model: z.string(),
  input: z.union([z.string(), z.array(z.unknown())]),
  dimensions: z.int().min(1).max(MAX_DIMENSIONS).nullish(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
});

type Input = string | readonly number[];

export interface EmbeddingsRequest {
  readonly model: string;
  readonly inputs: readonly Input[];
  readonly dimensions: number;
  readonly encoding: 'float' | 'base64';
}

/** @throws Refusal */
export function readEmbeddingsRequest(json: unknown): EmbeddingsRequest {
  const { model, input, dimensions, encoding_format } = parseBody(EmbeddingsBody, json);
  return {
    model,
    inputs: readInputs(input),
    dimensions: dimensions ?? DEFAULT_DIMENSIONS,
    encoding: encoding_format ?? 'float',
  };
}

/** By hand, as a list of millions must be refused at a glance and not looked at item by item. */
function readInputs(input: string | unknown[]): Input[] {
  const isTokens = Array.isArray(input) && typeof input[0] === 'number';
  const inputs: unknown[] = typeof input === 'string' || isTokens ? [input] : input;
  if (inputs.length === 0)
    throw new Refusal(400, "Invalid 'input': it is empty.", { param: 'input', code: 'empty_array' });
  if (inputs.length > MAX_INPUTS) {
    const message = `Invalid 'input': expected at most ${MAX_INPUTS} items, but got ${inputs.length}.`;
    throw new Refusal(400, message, { param: 'input', code: 'array_above_max_length' });
  }
  if (inputs.every(isInput)) return inputs;
  const message = "Invalid 'input': expected a text that is not empty, a list of such texts, or lists of tokens.";
  throw new Refusal(400, message, { param: 'input', code: 'invalid_type' });
}

function isInput(value: unknown): value is Input {
  if (typeof value === 'string') return value !== '';
  return Array.isArray(value) && value.length > 0 && value.every((token) => Number.isSafeInteger(token) && token >= 0);
}

export function countInputs(inputs: readonly Input[], tokenizer: Tokenizer): number {
  const listed = inputs.reduce((sum, input) => sum + (typeof input === 'string' ? 0 : input.length), 0);
  return listed + tokenizer.count(inputs.filter((input) => typeof input === 'string'));
}

/** The answer in parts, one embedding each: all of it may be 100 MB, which nobody shall hold or wait for. */
export function* embeddingsAnswer(request: EmbeddingsRequest, tokens: number): Generator<string, void> {
  yield '{"object":"list","data":[';
  for (const [index, input] of request.inputs.entries()) {
    const vector = unitVector(typeof input === 'string' ? input : JSON.stringify(input), request.dimensions);
    const embedding = request.encoding === 'float' ? `[${vector.join(',')}]` : `"${base64(vector)}"`;
    yield `${index === 0 ? '' : ','}{"object":"embedding","index":${index},"embedding":${embedding}}`;
  }
  const usage = `{"prompt_tokens":${tokens},"total_tokens":${tokens}}`;
  yield `],"model":${JSON.stringify(request.model)},"usage":${usage}}`;
}

/** A direction that any change of the text changes altogether: nothing is near to anything but itself. */
function unitVector(text: string, dimensions: number): Float32Array {
  const random = seededRandom(text);
  const values = Float64Array.from({ length: dimensions }, () => gaussian(random));
  const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return Float32Array.from(values, (value) => value / length);
}

/** Box and Muller: normal coordinates make all directions equally likely. */
function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Little-endian float32, as OpenAI sends it. */
function base64(vector: Float32Array): string {
  const bytes = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
  return (endianness() === 'LE' ? bytes : bytes.swap32()).toString('base64');
}
