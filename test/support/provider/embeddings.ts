/** The answer of POST /v1/embeddings: unit-length-ish vectors, as floats or base64 of little-endian float32. */

const cache = new Map<string, string>();
/** Widths are few; past this the cache starts over. */
const MAX_CACHED = 64;

function vector(dims: number, isBase64: boolean): string {
  const key = `${dims}|${isBase64}`;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const values = Float32Array.from({ length: dims }, (_, index) => Math.sin(index + 1) / Math.sqrt(dims / 2));
  const text = isBase64 ? `"${Buffer.from(values.buffer).toString('base64')}"` : JSON.stringify(Array.from(values));
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(key, text);
  return text;
}

/** `model` is JSON text between the quotes. */
export function embeddingsJson(
  model: string,
  inputs: number,
  dims: number,
  isBase64: boolean,
  promptTokens: number,
): string {
  const text = vector(dims, isBase64);
  const list = Array.from(
    { length: Math.max(1, inputs) },
    (_, index) => `{"object":"embedding","index":${index},"embedding":${text}}`,
  );
  return (
    `{"object":"list","data":[${list.join(',')}],"model":"${model}",` +
    `"usage":{"prompt_tokens":${promptTokens},"total_tokens":${promptTokens}}}`
  );
}

const MODELS = ['mock', 'gpt-4o', 'gpt-4o-mini', 'text-embedding-3-small'];
const modelJson = (id: string): string =>
  `{"id":${JSON.stringify(id)},"object":"model","created":1700000000,"owned_by":"mock"}`;

/** GET /v1/models. */
export const modelsJson = (): string => `{"object":"list","data":[${MODELS.map(modelJson).join(',')}]}`;

/** GET /v1/models/{id}; undefined when there is no such model. */
export const oneModelJson = (id: string): string | undefined => (MODELS.includes(id) ? modelJson(id) : undefined);
