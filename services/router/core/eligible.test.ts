import { describe, expect, test } from 'vitest';
import type { Deployment } from '../../../shared/catalog.ts';
import { deploymentOf } from '../../../shared/testing/fixtures.ts';
import type { Requirements } from './eligible.ts';
import { requirementsOf, ruledOut } from './eligible.ts';

const tried = (deployment: string, code: string) => ({ deployment, worker: 'w', code });
const CONTEXTS: Readonly<Record<string, number>> = { small: 8_000, big: 128_000 };
const after = (...history: ReturnType<typeof tried>[]): Requirements =>
  requirementsOf({ tried: history, endpoint: 'chat', inputTokens: 100 }, undefined, (id) => CONTEXTS[id]);

describe('whether a deployment that was tried may be asked again', () => {
  test.each([
    { history: [tried('a', 'upstream_failed')], reason: 'failed', why: 'it failed' },
    { history: [tried('a', 'content_filtered')], reason: 'failed', why: 'it refused the content' },
    { history: [tried('a', 'hedged')], reason: 'failed', why: 'it is being asked' },
    { history: [tried('a', 'worker_lost')], reason: undefined, why: 'its worker died' },
    { history: [tried('a', 'worker_busy')], reason: undefined, why: 'it was not called at all' },
    { history: [tried('a', 'upstream_throttled')], reason: undefined, why: 'it said "later"' },
    { history: [tried('a', 'deployment_throttled')], reason: undefined, why: 'its limit said "later"' },
    { history: [tried('b', 'upstream_failed')], reason: undefined, why: 'another failed' },
    { history: [tried('a', 'worker_lost'), tried('a', 'upstream_timeout')], reason: 'failed', why: 'it failed then' },
  ])('$why: $reason', ({ history, reason }) => {
    expect(ruledOut(deploymentOf('a'), after(...history))).toBe(reason);
  });
});

test('who said "later" to the request is known', () => {
  const { deferred } = after(
    tried('a', 'upstream_throttled'),
    tried('b', 'deployment_throttled'),
    tried('c', 'worker_busy'),
  );
  expect([...deferred]).toEqual(['a', 'b']);
});

describe('what a deployment must have', () => {
  const NOTHING = after();
  const ruled = (fields: Partial<Deployment>, required: Partial<Requirements>): string | undefined =>
    ruledOut(deploymentOf('a', fields), { ...NOTHING, ...required });

  test.each([
    { fields: { region: 'eu' }, required: { regions: ['eu', 'ch'] }, reason: undefined },
    { fields: { region: 'us' }, required: { regions: ['eu'] }, reason: 'region' },
    // A route that is pinned never leaves its region, not even for where nobody knows.
    { fields: {}, required: { regions: ['eu'] }, reason: 'region' },
    { fields: { region: 'us' }, required: {}, reason: undefined },
    { fields: { capabilities: new Set(['tools'] as const) }, required: { needs: ['tools'] }, reason: undefined },
    { fields: { capabilities: new Set(['tools'] as const) }, required: { needs: ['vision'] }, reason: 'vision' },
    { fields: {}, required: { needs: ['vision'] }, reason: undefined },
    { fields: { contextTokens: 8_000 }, required: { inputTokens: 11_000 }, reason: undefined },
    { fields: { contextTokens: 8_000 }, required: { inputTokens: 13_000 }, reason: 'context' },
    { fields: {}, required: { inputTokens: 1_000_000 }, reason: undefined },
    { fields: { prefill: 'none' }, required: { continues: true }, reason: 'continues' },
    { fields: { prefill: 'prefix' }, required: { continues: true }, reason: undefined },
  ] as const)('$fields for $required: $reason', ({ fields, required, reason }) => {
    expect(ruled(fields, required)).toBe(reason);
  });
});

describe('after "too long"', () => {
  const required = after(tried('small', 'context_length_exceeded'));

  test.each([
    { contextTokens: 8_000, reason: 'context' },
    { contextTokens: 16_000, reason: undefined },
    { contextTokens: undefined, reason: undefined },
  ])('one that takes $contextTokens: $reason', ({ contextTokens, reason }) => {
    expect(ruledOut(deploymentOf('b', { contextTokens }), required)).toBe(reason);
  });

  test('where nobody knows what the first one took, every other may be asked', () => {
    const unknown = after(tried('unknown', 'context_length_exceeded'));
    expect(ruledOut(deploymentOf('b', { contextTokens: 4_000 }), unknown)).toBeUndefined();
  });
});
