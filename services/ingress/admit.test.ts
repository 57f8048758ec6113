import { describe, expect, test } from 'vitest';
import { Catalog } from '../../shared/catalog.ts';
import { parseOpenAiRequest } from '../../shared/dialects/openai.ts';
import type { KeyPolicy } from '../../shared/messages/key.ts';
import { loadPriceTable } from '../../shared/pricing.ts';
import { testConfig } from '../../test/support/gateway.ts';
import { admit } from './admit.ts';
import { envelopeOf, taskOf } from './core/asking.ts';

const parse = (fields: string): ReturnType<typeof parseOpenAiRequest> =>
  parseOpenAiRequest('chat', Buffer.from(`{"model":"m","messages":[{"role":"user"}]${fields}}`));
const clock = { now: () => 5, epochMs: () => 1_000_000 };
const principal = { keyId: 'k', keyName: 'k', team: null };
const caller = { principal, policy: {} };
const config = testConfig(`
providers: { p: { base_url: "http://127.0.0.1:1/v1", models: { m: {} } } }
routes: { by-tier: { strategy: complexity, targets: [{ model: p/m, tier: simple }] } }`);
const deps = { catalog: new Catalog(config, loadPriceTable()), clock, requestTimeoutMs: 60_000 };

type Admitted = ReturnType<typeof admit>;

function admitted(
  { timeout, traceparent, session }: { timeout?: string; traceparent?: string; session?: string },
  fields = '',
): Admitted {
  const headers = { traceparent, 'x-sluice-timeout': timeout, 'x-sluice-session': session };
  return admit(parse(fields), { caller, headers }, deps);
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

describe('what a router is told', () => {
  const request = (body: object, headers: Record<string, string> = {}, via?: string): Admitted => {
    const bytes = Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'abcd' }], ...body }));
    return admit(parseOpenAiRequest('chat', bytes), { caller, headers, via }, deps);
  };

  test('of a plain request is its size, and nothing that is the default', () => {
    const { needs, maxOutputTokens, lane, via, overrides, sketch, ...told } = envelopeOf(request({}), [], 0);
    expect({ needs, maxOutputTokens, lane, via, overrides, sketch }).toEqual({});
    expect(told).toMatchObject({ model: 'm', inputTokens: 1 });
  });

  test('of another is all that it asks for', () => {
    const one = request(
      { max_tokens: 10, n: 2, tools: [{}], sluice: { strategy: 'ordered', regions: ['eu'] } },
      { 'x-sluice-lane': 'batch', 'x-sluice-strategy': 'cheapest' },
      'door',
    );
    expect(envelopeOf(one, [], 0)).toMatchObject({
      needs: ['tools'],
      maxOutputTokens: 20,
      lane: 'batch',
      via: 'door',
      overrides: { strategy: 'cheapest', regions: ['eu'] },
    });
  });

  test('holds a sketch of the prompt only where the strategy reads one', () => {
    const sketch = { lastUser: 'abcd', turns: 1 };
    expect(envelopeOf(request({ model: 'by-tier' }), [], 0)).toMatchObject({ sketch });
    expect(envelopeOf(request({ sluice: { strategy: 'complexity' } }), [], 0)).toMatchObject({ sketch });
    expect(envelopeOf(request({ model: 'nobody-knows-it' }), [], 0)).not.toHaveProperty('sketch');
  });

  test.each([
    { what: 'nothing but its name', body: {}, name: 'm' },
    { what: 'an empty list of tools', body: { tools: [] }, name: 'm' },
    { what: 'tools', body: { tools: [{}] }, name: undefined },
    { what: 'a long prompt', body: { messages: [{ role: 'user', content: 'x'.repeat(20_000) }] }, name: undefined },
    { what: 'a strategy that reads it', body: { model: 'by-tier' }, name: undefined },
    { what: 'a policy of its own', body: { sluice: { strategy: 'ordered' } }, name: undefined },
    { what: 'the batch lane', body: { sluice: { lane: 'batch' } }, name: undefined },
    { what: 'an empty policy', body: { sluice: {} }, name: 'm' },
  ])('may be spared for a request with $what: $name', ({ body, name }) => {
    expect(request(body).nameKey).toBe(name);
  });

  test('may not be spared for a request through a named router', () => {
    expect(request({}, {}, 'door').nameKey).toBeUndefined();
  });
});

describe('a task', () => {
  const placed = {
    ...{ v: 1 as const, deployment: 'p/m', pool: 'p', worker: 'w', router: 'r', slot: 1, route: null },
    ...{ reason: 'ordered', queueMs: 0 },
  };
  const taskFor = (endpoint: 'chat' | 'embeddings', body: object): ReturnType<typeof taskOf> => {
    const parsed = parseOpenAiRequest(endpoint, Buffer.from(JSON.stringify({ model: 'm', ...body })));
    const one = admit(parsed, { caller, headers: {} }, deps);
    return taskOf(one, placed, { attempt: 1, deadlineEpochMs: 0, creditBytes: 1 });
  };
  const messages = [{ role: 'user', content: 'abcd' }];

  test.each([
    { why: 'input, and as much output as may come', body: { messages, max_completion_tokens: 99 }, tokens: 100 },
    { why: 'input, and a page', body: { messages }, tokens: 257 },
  ])('may use $tokens tokens: $why', ({ body, tokens }) => {
    expect(taskFor('chat', body).tokensEstimate).toBe(tokens);
  });

  test('of embeddings has no output', () => {
    expect(taskFor('embeddings', { input: 'abcdefgh' }).tokensEstimate).toBe(2);
  });

  test('says which bytes are the gateway’s own, and its lane', () => {
    expect(taskFor('chat', { messages })).not.toHaveProperty('dropAt');
    const { dropAt, lane } = taskFor('chat', { messages, sluice: { lane: 'batch' } });
    const text = JSON.stringify({ model: 'm', messages, sluice: { lane: 'batch' } });
    expect(dropAt).toEqual([[text.indexOf(',"sluice"'), text.length - 1]]);
    expect(lane).toBe('batch');
  });
});

test.each([
  { header: undefined, body: '30s', ms: 30_000 },
  { header: '5s', body: '30s', ms: 5_000 },
  { header: '5s', body: undefined, ms: 5_000 },
])('a deadline: header $header, body $body', ({ header, body, ms }) => {
  const fields = body === undefined ? '' : `,"sluice":{"timeout":"${body}"}`;
  expect(admitted(header === undefined ? {} : { timeout: header }, fields).deadlineEpochMs).toBe(1_000_000 + ms);
});

describe('a key that is bound', () => {
  const bound = (policy: KeyPolicy, headers: Record<string, string> = {}): Admitted =>
    admit(parse(''), { caller: { principal, policy }, headers }, deps);

  test('to models is refused others', () => {
    const refusal = expect.objectContaining({ code: 'model_not_allowed', param: 'model' }) as Error;
    expect(() => bound({ models: ['q/*'] })).toThrow(refusal);
    expect(bound({ models: ['m'] }).model).toBe('m');
  });

  test('to regions is served in them alone, and not by slots that were promised to others', () => {
    const { overrides, nameKey } = bound({ regions: ['eu', 'us'] }, { 'x-sluice-regions': 'us,ap' });
    expect(overrides).toEqual({ regions: ['us'] });
    expect(nameKey).toBeUndefined();
  });
});
