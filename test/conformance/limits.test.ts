import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BLOCK, CORRECT, TAKE } from '../../services/workers/core/shared-limit-scripts.ts';
import { Limiter } from '../../services/workers/core/limiter.ts';
import type { RedisConnection } from '../../shared/redis.ts';
import { connectRedis, redisScript } from '../../shared/redis.ts';
import { redisUrl } from '../support/fresh.ts';

/**
 * What a limit of 60 requests and 6,000 tokens a minute decides: one request each second and a token each 10 ms, a minute's
 * worth at once. Every step is far from any bound, since a real server's time goes on between two of them.
 */
type Step =
  | { readonly take: number; readonly times?: number; readonly is: 'admitted' }
  | { readonly take: number; readonly waitMs: number }
  | { readonly correct: number }
  | { readonly block: number }
  | { readonly pass: number };

const CASES: ReadonlyArray<{
  readonly why: string;
  readonly steps: readonly Step[];
  readonly only?: 'requests' | 'tokens';
}> = [
  {
    why: 'a minute’s worth at once, then one a second',
    steps: [
      { take: 0, times: 60, is: 'admitted' },
      { take: 0, waitMs: 1_000 },
      { pass: 1_500 },
      { take: 0, is: 'admitted' },
      { take: 0, waitMs: 500 },
    ],
  },
  {
    why: 'tokens run out before requests do',
    steps: [
      { take: 5_500, is: 'admitted' },
      { take: 1_000, waitMs: 5_000 },
      { take: 400, is: 'admitted' },
    ],
  },
  {
    why: 'what one of the two refuses is charged to neither',
    steps: [
      { take: 5_500, is: 'admitted' },
      { take: 5_500, waitMs: 50_000 },
      { take: 5_500, waitMs: 50_000 },
      { take: 400, times: 1, is: 'admitted' },
      { take: 0, times: 58, is: 'admitted' },
      { take: 0, waitMs: 1_000 },
    ],
  },
  {
    why: 'more than a minute’s tokens need a full bucket, and leave a debt',
    steps: [
      { take: 9_000, is: 'admitted' },
      { take: 1, waitMs: 30_000 },
      { pass: 40_000 },
      { take: 900, is: 'admitted' },
      { take: 9_000, waitMs: 59_000 },
    ],
  },
  {
    why: 'an estimate that was too high is given back',
    steps: [
      { take: 5_900, is: 'admitted' },
      { correct: -5_000 },
      { take: 4_900, is: 'admitted' },
      { take: 1_000, waitMs: 8_000 },
    ],
  },
  {
    why: 'never beyond full',
    steps: [
      { take: 10, is: 'admitted' },
      { correct: -5_000 },
      { take: 6_000, is: 'admitted' },
      { take: 500, waitMs: 5_000 },
    ],
  },
  {
    why: 'an estimate that was too low is charged, room or not',
    steps: [{ take: 5_000, is: 'admitted' }, { correct: 4_000 }, { take: 1, waitMs: 30_000 }],
  },
  {
    why: 'a block holds for everything, and does not use anything up',
    steps: [{ block: 5_000 }, { take: 0, waitMs: 5_000 }, { pass: 6_000 }, { take: 6_000, is: 'admitted' }],
  },
  { why: 'of two blocks the later counts', steps: [{ block: 20_000 }, { block: 5_000 }, { take: 0, waitMs: 20_000 }] },
  {
    why: 'silence refills it, to a minute’s worth and no more',
    steps: [
      { take: 6_000, is: 'admitted' },
      { pass: 3_600_000 },
      { take: 6_000, is: 'admitted' },
      { take: 500, waitMs: 5_000 },
    ],
  },
  {
    why: 'without a limit in tokens they are not counted',
    only: 'requests',
    steps: [
      { take: 1e9, times: 60, is: 'admitted' },
      { take: 1e9, waitMs: 1_000 },
    ],
  },
  {
    why: 'without a limit in requests they are not counted',
    only: 'tokens',
    steps: [
      { take: 1, times: 200, is: 'admitted' },
      { take: 6_000, waitMs: 2_000 },
    ],
  },
];

interface Subject {
  /** 0 when admitted, else how long to wait; after a block, calls are answered at once. */
  take(tokens: number): Promise<number>;
  correct(tokens: number): Promise<void>;
  block(ms: number): Promise<void>;
  pass(ms: number): Promise<void>;
}

let redis: RedisConnection;
let keys = 0;

beforeAll(async () => {
  redis = connectRedis(await redisUrl(), { name: 'test', timeoutMs: 5_000 });
  const isThere = (): Promise<boolean> =>
    redis.run(redisScript('return 1'), 'none', []).then(
      () => true,
      () => false,
    );
  while (!(await isThere())) await new Promise((resolve) => setTimeout(resolve, 20));
});

afterAll(() => redis.close());

const inProcess = (requestsPerMinute: number | undefined, tokensPerMinute: number | undefined): Subject => {
  const limiter = new Limiter({ requestsPerMinute, tokensPerMinute });
  let now = 0;
  return {
    take: (tokens) => {
      const waitMs = limiter.take(tokens, now);
      if (waitMs === 'starting') throw new Error('a call that was admitted has been answered');
      if (waitMs === 0) limiter.answered(now, true, now);
      return Promise.resolve(waitMs);
    },
    correct: (tokens) => Promise.resolve(limiter.correct(tokens, now)),
    block: (ms) => Promise.resolve(void limiter.block(ms, now, now)),
    pass: (ms) => Promise.resolve(void (now += ms)),
  };
};

const inRedis = (requestsPerMinute = 0, tokensPerMinute = 0): Subject => {
  const key = `limits-${keys++}`;
  const limits = [requestsPerMinute, tokensPerMinute];
  /** The server's time is its own: in place of the future, what it remembers becomes older. */
  const older = redisScript(`for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    redis.call('HINCRBYFLOAT', KEYS[1], field, -ARGV[1]) end`);
  return {
    take: async (tokens) => Number(await redis.run(redisScript(TAKE), key, [...limits, tokens])),
    correct: async (tokens) => void (await redis.run(redisScript(CORRECT), key, [...limits, 0, tokens])),
    block: async (ms) => void (await redis.run(redisScript(BLOCK), key, [ms])),
    pass: async (ms) => void (await redis.run(older, key, [ms])),
  };
};

describe.each([
  { where: 'in process', subject: inProcess },
  { where: 'in Redis', subject: inRedis },
])('limits $where', ({ subject }) => {
  test.each(CASES)('$why', async ({ steps, only }) => {
    const limits = subject(only === 'tokens' ? undefined : 60, only === 'requests' ? undefined : 6_000);
    for (const step of steps) {
      if ('pass' in step) await limits.pass(step.pass);
      else if ('block' in step) await limits.block(step.block);
      else if ('correct' in step) await limits.correct(step.correct);
      else if ('is' in step) for (let i = 0; i < (step.times ?? 1); i++) expect(await limits.take(step.take)).toBe(0);
      else {
        const waitMs = await limits.take(step.take);
        expect(waitMs, JSON.stringify(step)).toBeGreaterThan(step.waitMs - 400);
        expect(waitMs, JSON.stringify(step)).toBeLessThanOrEqual(step.waitMs + 20);
      }
    }
  });
});

test('what Redis remembers of a deployment goes when it is long past', async () => {
  await redis.run(redisScript(TAKE), 'expiring', [60, 6_000, 9_000]);
  const keepMs = Number(await redis.run(redisScript(`return redis.call('PTTL', KEYS[1])`), 'expiring', []));
  expect(keepMs).toBeGreaterThan(149_000);
  expect(keepMs).toBeLessThanOrEqual(150_001);
});
