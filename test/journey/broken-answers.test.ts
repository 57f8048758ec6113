import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brief, errorOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { readStream, textOf } from '../support/sse.ts';

/** A provider's answer that is none, or ends before the first content token: what the ledger and the client are told. */
const PLAIN = [
  { what: 'malformed JSON', script: 'seq=bad', code: 'upstream_malformed' },
  { what: 'an empty body', script: 'seq=empty', code: 'upstream_malformed' },
  { what: 'an HTML page', script: 'seq=html', code: 'upstream_malformed' },
  { what: 'JSON that breaks off', script: 'seq=cutjson', code: 'upstream_malformed' },
  { what: 'no choices', script: 'seq=nochoices', code: 'upstream_malformed' },
  { what: 'an error object', script: 'seq=err200', code: 'upstream_failed' },
  { what: 'a stream nobody asked for', script: 'seq=forcestream', code: 'upstream_malformed' },
  { what: 'a body shorter than its length', script: 'seq=cut', code: 'upstream_cut_off' },
  { what: 'a connection reset in its body', script: 'seq=cutreset', code: 'upstream_cut_off' },
  { what: 'a closed connection', script: 'seq=close', code: 'upstream_failed' },
  { what: 'a reset connection', script: 'seq=reset', code: 'upstream_failed' },
  { what: 'bytes that are not HTTP', script: 'seq=garbage', code: 'upstream_failed' },
];

const STREAMED = [
  { what: 'a plain JSON answer', script: 'seq=notstream', code: 'upstream_malformed' },
  { what: 'an empty stream', script: 'seq=empty', code: 'upstream_cut_off' },
  { what: 'an HTML page', script: 'seq=html', code: 'upstream_malformed' },
  // The provider counts what it says it made, and so does the ledger.
  { what: 'events without choices', script: 'seq=nochoices', code: 'upstream_cut_off', outputTokens: 8 },
  { what: 'an error as its first event', script: 'seq=err200', code: 'upstream_failed' },
  { what: 'a role, then an error event', script: 'seq=role-then-err', code: 'upstream_failed' },
  { what: 'a role, then a cut connection', script: 'n=0&seq=cut', code: 'upstream_cut_off' },
  { what: 'a role, then a reset connection', script: 'n=0&seq=cutreset', code: 'upstream_cut_off' },
  { what: 'a role, then a malformed event', script: 'n=0&seq=bad', code: 'upstream_malformed' },
  { what: 'a role, then the end mark', script: 'n=0&seq=nofinish', code: 'upstream_cut_off' },
  { what: 'a closed connection', script: 'seq=close', code: 'upstream_failed' },
  { what: 'a reset connection', script: 'seq=reset', code: 'upstream_failed' },
  { what: 'bytes that are not HTTP', script: 'seq=garbage', code: 'upstream_failed' },
];

const CASES = [
  ...PLAIN.map((fault) => ({ ...fault, stream: false })),
  ...STREAMED.map((fault) => ({ ...fault, stream: true })),
].map((fault, index) => ({ outputTokens: 0, ...fault, name: `broken${index}` }));

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: { good: '', ...Object.fromEntries(CASES.map(({ name, script }) => [name, script])) },
    routes: Object.fromEntries(
      CASES.map(({ name }) => [`${name}-or-good`, { strategy: 'ordered', targets: [`${name}/m`, 'good/m'] }]),
    ),
  });
});

afterAll(() => journey.stop());

describe.each(CASES)('a 200 with $what (stream: $stream)', ({ name, stream, code, outputTokens }) => {
  test('is a failed attempt: the next deployment serves the request', async () => {
    const response = await journey.chat(`${name}-or-good`, { stream });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-sluice-deployment')).toBe('good/m');
    expect(response.headers.get('x-sluice-attempts')).toBe('2');
    if (stream) {
      const { chunks, isDone } = await readStream(response);
      expect({ text: textOf(chunks), isDone }).toEqual({ text: 'token '.repeat(8), isDone: true });
    } else {
      expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'token '.repeat(8) } }] });
    }
    expect((await journey.gateway.rowsOf(requestIdOf(response), 2)).map(brief)).toEqual([
      { deployment: `${name}/m`, error: code, finish: null, outputTokens },
      { deployment: 'good/m', error: null, finish: 'stop', outputTokens: 8 },
    ]);
  });

  test('is a 502 when nobody else can be asked', async () => {
    const response = await journey.chat(`${name}/m`, { stream });
    expect(response.status).toBe(502);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-should-retry')).toBe('true');
    expect(await errorOf(response)).toEqual({
      message: expect.any(String) as string,
      type: 'server_error',
      param: null,
      code,
    });
    // What may pass is tried again; that the provider does not speak the format does not.
    const attempts = Number(response.headers.get('x-sluice-attempts'));
    expect(attempts).toBeGreaterThanOrEqual(1);
    expect(attempts).toBeLessThanOrEqual(code === 'upstream_malformed' ? 1 : 3);
    expect((await journey.gateway.rowsOf(requestIdOf(response), attempts)).map(brief)).toEqual(
      Array(attempts).fill({ deployment: `${name}/m`, error: code, finish: null, outputTokens }),
    );
  });
});

test('the ledger holds one row for each request that the provider counted', async () => {
  const { requests } = journey.provider.stats().total;
  const rows = await journey.gateway.rows(requests);
  expect(rows).toHaveLength(requests);
  expect(new Set(rows.map(({ attempt_id }) => attempt_id)).size).toBe(requests);
});

test('the tokens of the attempts that succeeded are those that the provider counted', async () => {
  const served = (await journey.gateway.rows(journey.provider.stats().total.requests)).filter(
    ({ deployment }) => deployment === 'good/m',
  );
  const { promptTokens, completionTokens } = journey.counted('good');
  expect(served.reduce((sum, row) => sum + Number(row.input_tokens), 0)).toBe(promptTokens);
  expect(served.reduce((sum, row) => sum + Number(row.output_tokens), 0)).toBe(completionTokens);
});
