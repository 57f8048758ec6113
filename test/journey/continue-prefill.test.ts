import { afterAll, beforeAll, expect, test } from 'vitest';
import { startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { readStream, textOf } from '../support/sse.ts';

const CONTINUE = { strategy: 'ordered', on_stream_break: 'continue' };

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: { broken: 'seq=cut', 'without-prefill': '', 'with-prefill': { script: '', prefill: 'assistant' } },
    routes: {
      'nobody-can': { ...CONTINUE, targets: ['broken/m', 'without-prefill/m'] },
      'the-last-can': { ...CONTINUE, targets: ['broken/m', 'without-prefill/m'], fallbacks: ['with-prefill/m'] },
    },
  });
});

afterAll(() => journey.stop());

test('without a deployment that can be told to go on, the stream ends with its error', async () => {
  const { chunks, comments, errors } = await readStream(await journey.chat('nobody-can', { stream: true }));
  expect({ text: textOf(chunks), comments, codes: errors.map(({ code }) => code) }).toEqual({
    text: 'token '.repeat(4),
    comments: [],
    codes: ['upstream_cut_off'],
  });
  expect(journey.counted('without-prefill').requests).toBe(0);
});

test('those that cannot be told to are passed by', async () => {
  const { chunks, comments, errors } = await readStream(await journey.chat('the-last-can', { stream: true }));
  expect({ text: textOf(chunks), comments, errors }).toEqual({
    text: 'token '.repeat(12),
    comments: ['sluice continued by with-prefill/m after upstream_cut_off'],
    errors: [],
  });
});
