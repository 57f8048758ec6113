import { endianness } from 'node:os';
import { z } from 'zod';
import { parseBody } from './refusal.ts';
import { seededRandom } from './seeded-random.ts';
import type { Tokenizer } from './tokens.ts';

const DEFAULT_DIMENSIONS = 256;
/** OpenAI's largest embedding, and its longest list of inputs. */
const MAX_DIMENSIONS = 3_072;
const MAX_INPUTS = 2_048;

const Tokens = z.array(z.int().nonnegative()).min(1);
const EmbeddingsBody = z.looseObject({
  model: z.string(),
  input: z.union([
    z.string().min(1),
    Tokens.max(MAX_INPUTS),
    z
      .array(z.union([z.string().min(1), Tokens]))
      .min(1)
      .max(MAX_INPUTS),
  ]),
  dimensions: z.int().min(1).max(MAX_DIMENSIONS).nullish(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
});

export interface EmbeddingsRequest {
  readonly model: string;
  readonly inputs: ReadonlyArray<string | readonly number[]>;
  readonly dimensions: number;
  readonly encoding: 'float' | 'base64';
}

/** @throws Refusal */
export function readEmbeddingsRequest(json: unknown): EmbeddingsRequest {
  const { model, input, dimensions, encoding_format } = parseBody(EmbeddingsBody, json);
  const isList = Array.isArray(input) && typeof input[0] !== 'number';
  return {
    model,
    inputs: isList ? (input as Array<string | number[]>) : [input as string | number[]],
    dimensions: dimensions ?? DEFAULT_DIMENSIONS,
    encoding: encoding_format ?? 'float',
  };
}

/** The answer in parts, one embedding each: all of it may be 100 MB, which nobody shall hold or wait for. */
export function* embeddingsAnswer(request: EmbeddingsRequest, tokenizer: Tokenizer): Generator<string, void> {
  const texts = request.inputs.filter((input) => typeof input === 'string');
  const listed = request.inputs.reduce((sum, input) => sum + (typeof input === 'string' ? 0 : input.length), 0);
  const tokens = tokenizer.count(texts) + listed;
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
