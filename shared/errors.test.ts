import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toOpenAiError, toOpenAiErrorEvent } from './dialects/openai-error.ts';
import type { ErrorCode } from './errors.ts';
import { ERRORS, GatewayError, isErrorCode } from './errors.ts';

const codes = Object.keys(ERRORS) as ErrorCode[];

/** Names in the page that are no codes of ours: of settings, and of the providers’ errors. */
const OTHERS = ['x_should_retry', 'on_content_filter', 'content_filter', 'content_policy_violation'];

describe('docs/errors.md', () => {
  const text = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `(\w+)` +\| (\d+) +\| `(\w+)` +\| (\w+) +\| (.*\S) +\|$/gm)];

  test('has a row for each code, in the order of the table, with its status, type and retry', () => {
    const documented = rows.map(([, code, status, type, retry]) => ({ code, status: Number(status), type, retry }));
    expect(documented).toEqual(codes.map((code) => ({ code, ...ERRORS[code] })));
  });

  test.each(rows.map(([, code = '', , , , advice = '']) => ({ code, advice })))(
    '$code says what to do',
    ({ advice }) => {
      expect(advice).toMatch(/^[A-Z].+\.( .+\.)?$/);
    },
  );

  test('names no code that does not exist', () => {
    const named = [...text.matchAll(/`([a-z]+_[a-z_]+)`/g)].map(([, name = '']) => name);
    const others = new Set([...OTHERS, ...Object.values(ERRORS).map(({ type }) => type)]);
    expect(named.filter((name) => !isErrorCode(name) && !others.has(name))).toEqual([]);
  });
});

describe('a failure in OpenAI’s words', () => {
  test.each(codes)('%s has all four fields, its status, and whether to retry', (code) => {
    const { status, type, retry } = ERRORS[code];
    const answer = toOpenAiError(new GatewayError(code, 'what happened'));
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toEqual({ error: { message: 'what happened', type, param: null, code } });
    // A request that is too long for one deployment goes elsewhere; when it is told, it is too long for all.
    const isFinal = retry === 'never' || code === 'context_length_exceeded';
    expect(answer.headers).toEqual({ 'x-should-retry': isFinal ? 'false' : 'true' });
  });

  test('the provider’s verdict on the request, or on its rate, is passed on; on anything else it is not', () => {
    const upstream = { status: 422, code: 'too_long', type: 'their_type' };
    const passed = new Set([
      'upstream_rejected',
      'upstream_quota_exhausted',
      'upstream_throttled',
      'context_length_exceeded',
      'content_filtered',
    ]);
    for (const code of codes) {
      const { status, body } = toOpenAiError(new GatewayError(code, 'no', { upstream }));
      const isPassed = passed.has(code);
      expect(status).toBe(isPassed ? 422 : ERRORS[code].status);
      expect(JSON.parse(body)).toMatchObject({ error: { code: isPassed ? 'too_long' : code } });
    }
  });

  test('when to come back is said in seconds and in milliseconds, rounded up', () => {
    const { headers } = toOpenAiError(new GatewayError('overloaded', 'full', { retryAfterMs: 1_200.5 }));
    expect(headers).toMatchObject({ 'retry-after': '2', 'retry-after-ms': '1201' });
  });

  test('in a stream it is one event, whatever the message holds', () => {
    const event = toOpenAiErrorEvent(new GatewayError('internal', 'a\n\ndata: b'));
    expect(event).toMatch(/^data: .+\n\n$/);
    expect(event.indexOf('\n\n')).toBe(event.length - 2);
  });
});

describe('a failure between services', () => {
  test('comes over as it was', () => {
    const sent = new GatewayError('upstream_throttled', 'slow down', {
      param: 'model',
      retryAfterMs: 5,
      upstream: { status: 429, code: 'c', type: 't' },
    });
    const received = GatewayError.fromWire(
      JSON.parse(JSON.stringify(sent.toWire())) as ReturnType<GatewayError['toWire']>,
    );
    expect(received.toWire()).toEqual(sent.toWire());
    expect(received).toBeInstanceOf(GatewayError);
  });

  test.each(['code_of_the_future', 'toString', '__proto__', ''])('the unknown code %j is internal', (code) => {
    expect(GatewayError.fromWire({ code, message: 'm' }).code).toBe('internal');
  });

  test('an unknown throw is internal, and its text stays in the cause', () => {
    const thrown = new Error('secret');
    const error = GatewayError.from(thrown);
    expect(error).toMatchObject({ code: 'internal', cause: thrown });
    expect(error.message).not.toContain('secret');
    expect(GatewayError.from(error)).toBe(error);
  });
});
