import { describe, expect, test } from 'vitest';
import type { Principal } from '../../../shared/messages/envelope.ts';
import { readOverrides } from './read-overrides.ts';
import type { RequestHeaders } from './read-overrides.ts';

const read = (sluice: unknown, headers: RequestHeaders = {}, overrides?: string[]): ReturnType<typeof readOverrides> =>
  readOverrides(sluice, headers, overrides === undefined ? {} : ({ overrides } satisfies Partial<Principal>));
const refusal = (code: string, param: string): Error => expect.objectContaining({ code, param }) as Error;

describe('what a request says of its own routing', () => {
  test.each([undefined, null])('is nothing, where the body says %j', (sluice) => {
    expect(read(sluice, { 'x-sluice-session': 'a', 'x-sluice-timeout': '5s' })).toEqual({
      overrides: undefined,
      timeoutMs: undefined,
      lane: 'interactive',
    });
  });

  test.each([
    { header: 'x-sluice-strategy', value: 'cheapest', overrides: { strategy: 'cheapest' } },
    { header: 'x-sluice-fallbacks', value: 'a/x, b/y,c/z', overrides: { fallbacks: ['a/x', 'b/y', 'c/z'] } },
    { header: 'x-sluice-regions', value: 'eu', overrides: { regions: ['eu'] } },
    { header: 'x-sluice-max-attempts', value: ' 3 ', overrides: { maxAttempts: 3 } },
    { header: 'x-sluice-max-cost', value: '0.02 USD', overrides: { maxCostNanoUsd: 20_000_000 } },
    {
      header: 'x-sluice-on-limit',
      value: 'downgrade:cheap',
      overrides: { onLimit: { kind: 'downgrade', to: 'cheap' } },
    },
    { header: 'x-sluice-on-stream-break', value: 'continue', overrides: { onStreamBreak: 'continue' } },
    { header: 'x-sluice-on-content-filter', value: 'fallback', overrides: { onContentFilter: 'fallback' } },
  ])('may stand in $header: $value', ({ header, value, overrides }) => {
    expect(read(undefined, { [header]: value }).overrides).toEqual(overrides);
  });

  test('is what the header says, where both say it', () => {
    const sluice = { strategy: 'ordered', max_attempts: 2, lane: 'interactive' };
    expect(read(sluice, { 'x-sluice-strategy': 'cheapest', 'x-sluice-lane': 'batch' })).toMatchObject({
      overrides: { strategy: 'cheapest', maxAttempts: 2 },
      lane: 'batch',
    });
  });

  test.each([
    { sluice: { stratgy: 'ordered' }, headers: {}, param: 'sluice.stratgy' },
    { sluice: { strategy: 'luck' }, headers: {}, param: 'sluice.strategy' },
    { sluice: 'cheapest', headers: {}, param: 'sluice' },
    { sluice: ['strategy'], headers: {}, param: 'sluice' },
    { sluice: undefined, headers: { 'x-sluice-strategy': 'luck' }, param: 'x-sluice-strategy' },
    { sluice: undefined, headers: { 'x-sluice-on-limit': 'wait' }, param: 'x-sluice-on-limit' },
    { sluice: undefined, headers: { 'x-sluice-max-attempts': 'many' }, param: 'x-sluice-max-attempts' },
    { sluice: undefined, headers: { 'x-sluice-hedge': 'soon' }, param: 'x-sluice-hedge' },
  ])('is refused by the name of the place where it is wrong: $param', ({ sluice, headers, param }) => {
    expect(() => read(sluice, headers)).toThrow(refusal('invalid_request', param));
  });
});

test('a fault in a header is told in the header’s name alone', () => {
  expect(() => read(undefined, { 'x-sluice-max-attempts': 'many' })).toThrow(/'x-sluice-max-attempts'/);
  expect(() => read(undefined, { 'x-sluice-max-attempts': 'many' })).not.toThrow(/sluice\.max_attempts/);
});

describe('a key', () => {
  test.each([
    { why: 'all of it', allowed: undefined, sluice: { strategy: 'ordered', regions: ['eu'] } },
    { why: 'what is in its list', allowed: ['strategy'], sluice: { strategy: 'ordered' } },
    { why: 'a deadline, always', allowed: [], sluice: { timeout: '5s' } },
    { why: 'the batch lane, always', allowed: [], sluice: { lane: 'batch' } },
    { why: 'nothing', allowed: [], sluice: {} },
  ])('may say $why', ({ allowed, sluice }) => {
    expect(() => read(sluice, {}, allowed)).not.toThrow();
  });

  test.each([
    { allowed: [], sluice: { strategy: 'ordered' }, headers: {}, param: 'sluice.strategy' },
    { allowed: ['strategy'], sluice: { strategy: 'ordered', regions: ['eu'] }, headers: {}, param: 'sluice.regions' },
    { allowed: [], sluice: { lane: 'interactive' }, headers: {}, param: 'sluice.lane' },
    { allowed: ['regions'], sluice: {}, headers: { 'x-sluice-fallbacks': 'a/b' }, param: 'x-sluice-fallbacks' },
  ])('with the list $allowed may not say $param', ({ allowed, sluice, headers, param }) => {
    expect(() => read(sluice, headers, allowed)).toThrow(refusal('override_not_allowed', param));
  });
});
