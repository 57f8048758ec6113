import { describe, expect, test } from 'vitest';
import { parseOpenAiRequest } from '../../shared/dialects/openai.ts';
import { admit } from './admit.ts';
import { envelopeOf } from './core/asking.ts';

const parse = (fields: string): ReturnType<typeof parseOpenAiRequest> =>
  parseOpenAiRequest('chat', Buffer.from(`{"model":"m","messages":[{"role":"user"}]${fields}}`));
const clock = { now: () => 5, epochMs: () => 1_000_000 };
const principal = { keyId: 'k', keyName: 'k', team: null };

function admitted(
  context: { timeout?: string; traceparent?: string; session?: string },
  fields = '',
): ReturnType<typeof admit> {
  const { timeout, traceparent, session } = context;
  return admit(parse(fields), { principal, timeout, traceparent, session }, clock, 60_000);
}

describe('an admitted request', () => {
  test('has an id of its own, its principal, and the default deadline', () => {
    const [one, other] = [admitted({}), admitted({})];
    expect(one).toMatchObject({
      principal,
      receivedAt: 5,
      deadlineEpochMs: 1_060_000,
      traceparent: undefined,
      model: 'm',
    });
    expect(one.id).toMatch(/^req_[0-9a-f]{32}$/);
    expect(one.id).not.toBe(other.id);
  });

  test.each([
    { timeout: '30s', ms: 30_000 },
    { timeout: '500', ms: 500 },
    { timeout: ' 500 ', ms: 500 },
    { timeout: '1ms', ms: 1 },
    { timeout: '24h', ms: 86_400_000 },
  ])('may name its own: $timeout', ({ timeout, ms }) => {
    expect(admitted({ timeout }).deadlineEpochMs).toBe(1_000_000 + ms);
  });

  test.each(['', '0', '-1', 'soon', '25h', '1e3', '∞', '9'.repeat(400)])('not as %j', (timeout) => {
    const refusal = expect.objectContaining({ code: 'invalid_request', param: 'x-sluice-timeout' }) as Error;
    expect(() => admitted({ timeout })).toThrow(refusal);
  });

  test('keeps a trace context that is one', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    expect(admitted({ traceparent }).traceparent).toBe(traceparent);
    expect(admitted({ traceparent: `${traceparent}\r\nx: y` }).traceparent).toBeUndefined();
  });

  test('knows who it belongs with, by a hash that does not tell who that is', () => {
    const affinity = (fields: string, session?: string): string | undefined =>
      envelopeOf(admitted(session === undefined ? {} : { session }, fields), [], 0).affinity;
    const ann = affinity(',"user":"ann@example.com"');
    expect(ann).toMatch(/^[\w-]{22}$/);
    expect(affinity(',"user":"bob","safety_identifier":"ann@example.com"')).toBe(ann);
    expect(affinity(',"safety_identifier":"bob","prompt_cache_key":"ann@example.com"')).toBe(ann);
    expect(affinity(',"prompt_cache_key":"bob"', 'ann@example.com')).toBe(ann);
    expect(affinity(',"user":"bob"')).not.toBe(ann);
    expect(affinity(',"user":"ann@example.com"', '')).toBe(ann);
    // What is no name is the provider's to judge.
    expect(affinity(',"user":7,"safety_identifier":"","prompt_cache_key":null')).toBeUndefined();
    expect(affinity('')).toBeUndefined();
  });
});
