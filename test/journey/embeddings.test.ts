import { afterAll, beforeAll, expect, test } from 'vitest';
import { requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: { vectors: 'dims=64', broken: 'seq=cutjson', empty: 'seq=empty' },
    routes: { either: { strategy: 'ordered', targets: ['broken/m', 'empty/m', 'vectors/m'] } },
  });
});

afterAll(() => journey.stop());

test('the SDK’s own choice of base64 gives the same vector as floats', async () => {
  const { embeddings } = journey.openai;
  const asBase64 = await embeddings.create({ model: 'vectors/m', input: 'hello' });
  const asFloats = await embeddings.create({ model: 'vectors/m', input: 'hello', encoding_format: 'float' });
  expect(asBase64.data[0]?.embedding).toHaveLength(64);
  expect(Array.from(asBase64.data[0]?.embedding ?? [])).toEqual(
    asFloats.data[0]?.embedding.map((value) => Math.fround(value)),
  );
});

test('a thousand inputs come back as a thousand vectors, in order', async () => {
  const input = Array.from({ length: 1_000 }, (_, at) => `text ${at}`);
  const { data, model } = await journey.openai.embeddings.create({
    model: 'vectors/m',
    input,
    encoding_format: 'float',
  });
  expect(data.map(({ index }) => index)).toEqual(input.map((_, at) => at));
  expect(model).toBe('vectors/m');
});

test('inputs of token ids pass', async () => {
  const { data } = await journey.openai.embeddings.create({
    model: 'vectors/m',
    input: [[1, 2, 3], [4]],
    dimensions: 8,
    encoding_format: 'float',
  });
  expect(data.map(({ embedding }) => embedding.length)).toEqual([8, 8]);
});

test('embeddings that break are another deployment’s chance', async () => {
  const response = await journey.gateway.post('/v1/embeddings', { model: 'either', input: 'hello' });
  expect(response.headers.get('x-sluice-deployment')).toBe('vectors/m');
  const rows = await journey.gateway.rowsOf(requestIdOf(response), 3);
  expect(rows.map(({ error }) => error)).toEqual(['upstream_malformed', 'upstream_malformed', null]);
});

test('the ledger holds their tokens as input, and what they cost', async () => {
  const before = journey.counted('vectors').promptTokens;
  const response = await journey.gateway.post('/v1/embeddings', {
    model: 'vectors/m',
    input: ['hello there', 'and again'],
  });
  const [row] = await journey.gateway.rowsOf(requestIdOf(response), 1);
  const tokens = journey.counted('vectors').promptTokens - before;
  expect(tokens).toBeGreaterThan(0);
  expect(row).toMatchObject({
    input_tokens: tokens,
    output_tokens: 0,
    is_estimated: false,
    cost_nano_usd: String(tokens * 1_000),
  });
});
