import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { readStream, textOf } from '../support/sse.ts';

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    server: 'request_timeout: 1s, keep_alive: 1s',
    providers: {
      hanging: 'seq=hang',
      silent: 'seq=stall',
      stalled: 'seq=stall&n=4',
      slow: { script: 'n=1000&itl=20', timeouts: { total: '400ms' } },
      late: 'seq=slow&slow=1300',
      'late-then-broken': 'seq=headers-only&hang=1300',
      other: '',
    },
    routes: {
      short: { strategy: 'ordered', targets: ['hanging/m', 'other/m'], timeout: '300ms' },
      'broken-then-good': { strategy: 'ordered', targets: ['late-then-broken/m', 'other/m'] },
    },
  });
});

afterAll(() => journey.stop());

const DEADLINES = [
  { what: 'the request’s own', model: 'hanging/m', headers: { 'x-sluice-timeout': '300ms' } },
  { what: 'the request’s own in milliseconds', model: 'hanging/m', headers: { 'x-sluice-timeout': '300' } },
  { what: 'the route’s', model: 'short', headers: {} },
  { what: 'the server’s', model: 'hanging/m', headers: {} },
];

describe.each(DEADLINES)('$what deadline', ({ model, headers }) => {
  test.each([true, false])('is a 504 that nobody tries again (stream: %s)', async (stream) => {
    const response = await journey.chat(model, { stream }, { headers });
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect({ status: response.status, error: await errorOf(response) }).toEqual({
      status: 504,
      error: { message: expect.any(String) as string, type: 'server_error', param: null, code: 'deadline_exceeded' },
    });
    expect(journey.counted('other').requests).toBe(0);
  });

  test('closes the provider’s connection', async () => {
    const { provider } = journey;
    const before = provider.stats().total.abandoned;
    await journey.chat(model, {}, { headers });
    await provider.waitFor(({ active, total }) => active === 0 && total.abandoned > before);
  });
});

test('a deadline in the middle of a stream is an error event', async () => {
  const response = await journey.chat('stalled/m', { stream: true }, { headers: { 'x-sluice-timeout': '300ms' } });
  const { chunks, errors, isDone } = await readStream(response);
  expect({ text: textOf(chunks), codes: errors.map(({ code }) => code), isDone }).toEqual({
    text: 'token token ',
    codes: ['deadline_exceeded'],
    isDone: false,
  });
  expect(await journey.gateway.rowsOf(requestIdOf(response), 1)).toMatchObject([
    { error: 'deadline_exceeded', output_tokens: 2, is_estimated: true },
  ]);
});

test('an attempt longer than its total limit ends, however steadily its tokens come', async () => {
  const before = journey.provider.stats().total.abandoned;
  const response = await journey.chat('slow/m', { stream: true });
  const { errors, isDone } = await readStream(response);
  expect({ codes: errors.map(({ code }) => code), isDone }).toEqual({ codes: ['upstream_timeout'], isDone: false });
  await journey.provider.waitFor(({ total }) => total.abandoned > before);
});

test('while the provider thinks the client gets comments, then its answer', async () => {
  const response = await journey.chat('late/m', { stream: true }, { headers: { 'x-sluice-timeout': '10s' } });
  const { chunks, comments, isDone } = await readStream(response);
  expect({ comments, text: textOf(chunks), isDone }).toEqual({
    comments: ['keep-alive'],
    text: 'token '.repeat(8),
    isDone: true,
  });
});

test('after a comment another deployment may still take over', async () => {
  const response = await journey.chat('broken-then-good', { stream: true }, { headers: { 'x-sluice-timeout': '10s' } });
  const { chunks, comments, isDone } = await readStream(response);
  expect({ comments, text: textOf(chunks), isDone }).toEqual({
    comments: ['keep-alive'],
    text: 'token '.repeat(8),
    isDone: true,
  });
});

test('after a comment an error is an event', async () => {
  const response = await journey.chat(
    'late-then-broken/m',
    { stream: true },
    { headers: { 'x-sluice-timeout': '10s' } },
  );
  expect(response.status).toBe(200);
  const { comments, errors, isDone } = await readStream(response);
  // It is asked again, since nobody else is there: more comments may come.
  expect({ comments: [...new Set(comments)], codes: errors.map(({ code }) => code), isDone }).toEqual({
    comments: ['keep-alive'],
    codes: ['upstream_cut_off'],
    isDone: false,
  });
});

test('comments go on while a stream is silent in its middle', async () => {
  const response = await journey.chat('silent/m', { stream: true }, { headers: { 'x-sluice-timeout': '1500ms' } });
  const { comments } = await readStream(response);
  expect(comments).toEqual(['keep-alive']);
});

test('a plain answer gets no comments', async () => {
  const response = await journey.chat('late/m', {}, { headers: { 'x-sluice-timeout': '10s' } });
  expect(response.status).toBe(200);
  expect(JSON.parse(await response.text())).toHaveProperty('choices');
});
