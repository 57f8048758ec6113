import { describe, expect, test } from 'vitest';
import type { ApplicableLimit, LimitAsk } from './limit-terms.ts';
import { limitOf } from './limit-terms.ts';
import { ScopeLimits } from './scope-limits.ts';

const each = { requestsPerMinute: 60, burst: 2 };
let requests = 0;
const ask = (subject: string, terms: ApplicableLimit['terms'] = each): LimitAsk => ({
  limits: [limitOf('user:*', subject, terms)],
  tokens: 0,
  costNanoUsd: 0,
  requestId: `req_${requests++}`,
});

describe('what one ingress remembers', () => {
  test('subjects whose limits are unused again are forgotten as others come', () => {
    const limits = new ScopeLimits();
    for (let i = 0; i < 10_000; i++) limits.take(ask(`user:${i}`), i * 100);
    // Each is full again after a second, when ten others have come.
    expect(limits.size).toBeLessThan(100);
  });

  test('a subject that is used again when it is full loses nothing of what it takes', () => {
    const limits = new ScopeLimits();
    limits.take(ask('user:ada'), 0);
    const both = (user: string): LimitAsk => {
      const [newcomer] = ask(user).limits;
      const known = ask('user:ada');
      return { ...known, limits: [...known.limits, newcomer as ApplicableLimit] };
    };
    const kinds = [1, 2, 3].map((i) => limits.take(both(`user:new-${i}`), 60_000).kind);
    expect(kinds).toEqual(['taken', 'taken', 'refused']);
  });

  test('at the bound the one goes that is nearest to unused, and starts anew', () => {
    const limits = new ScopeLimits(3);
    limits.take(ask('user:a'), 0);
    limits.take(ask('user:a'), 0);
    limits.take(ask('user:b'), 0);
    limits.take(ask('user:c'), 0);
    limits.take(ask('user:c'), 0);
    limits.take(ask('user:d'), 100);
    limits.take(ask('user:d'), 100);
    expect(limits.size).toBe(3);
    for (const user of ['user:a', 'user:c', 'user:d']) expect(limits.take(ask(user), 100).kind).toBe('refused');
    expect(limits.take(ask('user:b'), 100).kind).toBe('taken');
  });

  test('who has requests under way is never forgotten', () => {
    const limits = new ScopeLimits(2);
    const one = { concurrent: 1 };
    const first = limits.take(ask('user:a', one), 0);
    limits.take(ask('user:b', one), 0);
    limits.take(ask('user:c', one), 0);
    for (const user of ['user:a', 'user:b', 'user:c']) expect(limits.take(ask(user, one), 0).kind).toBe('refused');
    if (first.kind === 'taken') limits.giveBack(first, 0);
    expect(limits.take(ask('user:d', one), 0).kind).toBe('taken');
    expect(limits.size).toBe(3);
  });

  test('a request that ends twice leaves once', () => {
    const limits = new ScopeLimits();
    const two = { concurrent: 2 };
    const first = limits.take(ask('user:a', two), 0);
    limits.take(ask('user:a', two), 0);
    if (first.kind !== 'taken') throw new Error('refused');
    limits.giveBack(first, 0);
    limits.giveBack(first, 0);
    expect(limits.take(ask('user:a', two), 0).kind).toBe('taken');
    expect(limits.take(ask('user:a', two), 0).kind).toBe('refused');
  });

  test('who is refused is not remembered', () => {
    const limits = new ScopeLimits();
    const total = limitOf('total', 'total', { requestsPerMinute: 1 });
    for (let i = 0; i < 100; i++) {
      const { limits: own, ...rest } = ask(`user:${i}`);
      limits.take({ ...rest, limits: [total, ...own] }, 0);
    }
    expect(limits.size).toBe(2);
  });
});
