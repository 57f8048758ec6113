import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { limitScripts } from '../../services/ingress/core/limit-scripts.ts';
import type {
  ActualUse,
  ApplicableLimit,
  LimitAsk,
  LimitDimension,
  Refused,
  Taken,
} from '../../services/ingress/core/limit-terms.ts';
import { limitOf } from '../../services/ingress/core/limit-terms.ts';
import { CONCURRENT_WAIT_MS } from '../../services/ingress/core/limit-terms.ts';
import { ScopeLimits } from '../../services/ingress/core/scope-limits.ts';
import type { SharedScopeLimitsDeps } from '../../services/ingress/limits/shared-scope-limits.ts';
import { SharedScopeLimits } from '../../services/ingress/limits/shared-scope-limits.ts';
import type { LimitTerms } from '../../shared/messages/rules.ts';
import type { RedisConnection } from '../../shared/redis.ts';
import { connectRedis, redisScript } from '../../shared/redis.ts';
import { redisUrl } from '../support/fresh.ts';

/** What both stores are asked. Time is the test's, in Redis too: the scripts read it from a key. */
interface Store {
  take(ask: LimitAsk, now: number): Promise<Taken | Refused>;
  end(taken: Taken, actual: ActualUse, now: number): Promise<void>;
  giveBack(taken: Taken, now: number): Promise<void>;
}

const CLOCK_KEY = 'test:now';
const TEST_SCRIPTS = limitScripts(`local now = tonumber(redis.call('GET', '${CLOCK_KEY}'))`);
const SET_CLOCK = redisScript(`return redis.call('SET', KEYS[1], ARGV[1])`);
const FLUSH = redisScript(`return redis.call('FLUSHDB')`);
const KEYS_LEFT = redisScript(`return redis.call('KEYS', 'sluice:*')`);
const TTL = redisScript(`return redis.call('PTTL', KEYS[1])`);

let redis: RedisConnection;
let url: string;
const stops: Array<() => void> = [];

beforeAll(async () => {
  url = await redisUrl();
  redis = connectRedis(url, { name: 'test', timeoutMs: 5_000 });
  const isThere = (): Promise<boolean> =>
    redis.run(redisScript('return 1'), 'none', []).then(
      () => true,
      () => false,
    );
  while (!(await isThere())) await new Promise((resolve) => setTimeout(resolve, 20));
});

afterEach(async () => {
  for (const stop of stops.splice(0)) stop();
  await redis.run(FLUSH, 'none', []);
});

afterAll(() => redis.close());

/** Every script has run once what was sent after it is answered. */
const settled = async (): Promise<void> => void (await redis.run(redisScript('return 1'), 'none', []));

const sharedLimits = (deps: Partial<SharedScopeLimitsDeps> = {}): SharedScopeLimits => {
  const limits = new SharedScopeLimits({
    redis: { isAway: false, run: (script, keys, args) => redis.run(script, keys, args) },
    here: new ScopeLimits(),
    onDegraded: () => {
      throw new Error('Redis is there');
    },
    ...deps,
  });
  stops.push(() => limits.stop());
  return limits;
};

const inProcess = (): Store => {
  const limits = new ScopeLimits();
  return {
    take: (ask, now) => Promise.resolve(limits.take(ask, now)),
    end: (taken, actual, now) => Promise.resolve(limits.end(taken, actual, now)),
    giveBack: (taken, now) => Promise.resolve(limits.giveBack(taken, now)),
  };
};

/** Each step is another ingress': none of them has an account of its own of what the others took. */
const inRedis = (): Store => {
  const at = async (now: number): Promise<SharedScopeLimits> => {
    await redis.run(SET_CLOCK, CLOCK_KEY, [now]);
    return sharedLimits({ scripts: TEST_SCRIPTS, waits: { holdMs: 1e12, renewMs: 1e6 } });
  };
  return {
    take: async (ask, now) => (await at(now)).take(ask, now),
    end: async (taken, actual, now) => {
      (await at(now)).end(taken, actual, now);
      await settled();
    },
    giveBack: async (taken, now) => {
      (await at(now)).giveBack(taken, now);
      await settled();
    },
  };
};

const limit = (subject: string, terms: LimitTerms, scope = subject): ApplicableLimit => limitOf(scope, subject, terms);
let requests = 0;
const ask = (limits: readonly ApplicableLimit[], tokens = 0, costNanoUsd = 0): LimitAsk => ({
  limits,
  tokens,
  costNanoUsd,
  requestId: `req_${requests++}`,
});
const isTaken = (outcome: Taken | Refused): outcome is Taken => outcome.kind === 'taken';
const briefly = (outcome: Taken | Refused): string =>
  isTaken(outcome) ? 'taken' : `${outcome.limit.scope} ${outcome.dimension} ${Math.ceil(outcome.waitMs)}`;

describe.each([
  { where: 'in process', open: inProcess },
  { where: 'in Redis', open: inRedis },
])('limits of scopes $where', ({ open }) => {
  test('a minute’s requests at once, then one as each comes back', async () => {
    const store = open();
    const team = [limit('team:search', { requestsPerMinute: 3 })];
    for (let i = 0; i < 3; i++) expect(briefly(await store.take(ask(team), 1_000))).toBe('taken');
    expect(briefly(await store.take(ask(team), 1_000))).toBe('team:search requests 19980');
    expect(briefly(await store.take(ask(team), 21_000))).toBe('taken');
    expect(briefly(await store.take(ask(team), 21_000))).toMatch('team:search requests');
  });

  test('a burst is as many as may come at once', async () => {
    const store = open();
    const total = [limit('total', { requestsPerMinute: 60, burst: 2 })];
    expect(briefly(await store.take(ask(total), 0))).toBe('taken');
    expect(briefly(await store.take(ask(total), 0))).toBe('taken');
    expect(briefly(await store.take(ask(total), 0))).toMatch(/^total requests (999|1000)$/);
    expect(briefly(await store.take(ask(total), 1_000))).toBe('taken');
  });

  test('all of a request’s limits are taken, or none', async () => {
    const store = open();
    const both = [limit('team:search', { tokensPerMinute: 600 }), limit('user:ada', { requestsPerMinute: 1 })];
    expect(briefly(await store.take(ask(both, 100), 0))).toBe('taken');
    expect(briefly(await store.take(ask(both, 100), 0))).toBe('user:ada requests 59940');
    const [team] = both;
    expect(briefly(await store.take(ask([team as ApplicableLimit], 500), 0))).toBe('taken');
    expect(briefly(await store.take(ask([team as ApplicableLimit], 10), 0))).toBe('team:search tokens 1000');
  });

  test('money is limited by window, and an estimate corrected by what was spent', async () => {
    const store = open();
    const key = [limit('key:k', { cost: { nanoUsd: 1_000_000, perMs: 3_600_000 } })];
    const taken = await store.take(ask(key, 0, 900_000), 0);
    expect(briefly(await store.take(ask(key, 0, 200_000), 0))).toBe('key:k cost 360000');
    if (isTaken(taken)) await store.end(taken, { tokens: 0, costNanoUsd: 100_000 }, 0);
    expect(briefly(await store.take(ask(key, 0, 900_000), 0))).toBe('taken');
    expect(briefly(await store.take(ask(key, 0, 100_000), 0))).toBe('key:k cost 360000');
  });

  test('as many are under way as may be at once, until one of them ends', async () => {
    const store = open();
    const user = [limit('user:ada', { concurrent: 2 }, 'user:*')];
    const first = await store.take(ask(user), 0);
    expect(briefly(await store.take(ask(user), 0))).toBe('taken');
    expect(briefly(await store.take(ask(user), 0))).toBe(`user:* concurrent ${CONCURRENT_WAIT_MS}`);
    if (isTaken(first)) await store.end(first, { tokens: 0, costNanoUsd: 0 }, 0);
    expect(briefly(await store.take(ask(user), 0))).toBe('taken');
    expect(briefly(await store.take(ask(user), 0))).toBe(`user:* concurrent ${CONCURRENT_WAIT_MS}`);
  });

  test('what is given back was never taken', async () => {
    const store = open();
    const all = [limit('team:a', { requestsPerMinute: 1, tokensPerMinute: 100, concurrent: 1 })];
    const taken = await store.take(ask(all, 100), 0);
    expect(briefly(await store.take(ask(all, 100), 0))).toMatch('team:a');
    if (isTaken(taken)) await store.giveBack(taken, 0);
    expect(briefly(await store.take(ask(all, 100), 0))).toBe('taken');
  });

  test('each of a pattern has counters of its own', async () => {
    const store = open();
    const terms = { requestsPerMinute: 1 };
    expect(briefly(await store.take(ask([limit('user:ada', terms, 'user:*')]), 0))).toBe('taken');
    expect(briefly(await store.take(ask([limit('user:bob', terms, 'user:*')]), 0))).toBe('taken');
    expect(briefly(await store.take(ask([limit('user:ada', terms, 'user:*')]), 0))).toBe('user:* requests 59940');
  });

  test('limits of one subject with the same rate are one, and the smallest burst counts', async () => {
    const store = open();
    const same = [
      limit('user:ada', { requestsPerMinute: 60, burst: 10 }, 'user:*'),
      limit('user:ada', { requestsPerMinute: 60, burst: 2 }),
    ];
    expect(briefly(await store.take(ask(same), 0))).toBe('taken');
    expect(briefly(await store.take(ask(same), 0))).toBe('taken');
    expect(briefly(await store.take(ask(same), 0))).toMatch(/^user:ada requests (999|1000)$/);
  });

  test('the standing told is that of the tightest limit', async () => {
    const store = open();
    const limits = [
      limit('total', { requestsPerMinute: 600, tokensPerMinute: 60_000 }),
      limit('user:ada', { requestsPerMinute: 6 }),
    ];
    const { standing } = await store.take(ask(limits, 6_000), 0);
    expect(standing).toEqual({
      requests: { perMinute: 6, remaining: 5, resetMs: 10_000 },
      tokens: { perMinute: 60_000, remaining: 54_000, resetMs: 6_000 },
    });
  });

  test('without limits there is nothing to tell', async () => {
    expect((await open().take(ask([], 5), 0)).standing).toEqual({ requests: undefined, tokens: undefined });
  });
});

/** The obvious one: tokens that are refilled with time and may be below zero, and a list of who is under way. */
class Model {
  readonly #buckets = new Map<string, { units: number; at: number }>();
  readonly #underWay = new Map<string, Set<string>>();

  take({ limits, tokens, costNanoUsd, requestId }: LimitAsk, now: number): string {
    const units = { requests: 1, tokens, cost: costNanoUsd };
    let worst: { scope: string; dimension: LimitDimension; waitMs: number } | undefined;
    const consider = (scope: string, dimension: LimitDimension, waitMs: number): void => {
      if (waitMs > (worst?.waitMs ?? 0)) worst = { scope, dimension, waitMs };
    };
    for (const { scope, subject, terms } of limits) {
      for (const { dimension, intervalMs, burst } of bucketsOf(terms)) {
        // Refilled up to the burst of whoever looks: what is above it is nobody's.
        const missing = this.#missing(`${dimension} ${nameOf(subject, terms)}`, intervalMs, now);
        const wait = (Math.min(units[dimension], burst) - (burst - missing) - 1e-3) * intervalMs;
        consider(scope, dimension, wait);
      }
    }
    for (const { scope, subject, terms } of limits) {
      const isFull = (this.#underWay.get(nameOf(subject, terms))?.size ?? 0) >= (terms.concurrent ?? Infinity);
      if (isFull) consider(scope, 'concurrent', CONCURRENT_WAIT_MS);
    }
    if (worst !== undefined) return `${worst.scope} ${worst.dimension}`;
    this.move(limits, units, now);
    for (const { subject, terms } of limits) {
      if (terms.concurrent === undefined) continue;
      const set = this.#underWay.get(nameOf(subject, terms)) ?? new Set();
      this.#underWay.set(nameOf(subject, terms), set.add(requestId));
    }
    return 'taken';
  }

  move(limits: readonly ApplicableLimit[], units: Record<'requests' | 'tokens' | 'cost', number>, now: number): void {
    const moved = new Set<string>();
    for (const { subject, terms } of limits) {
      for (const { dimension, intervalMs } of bucketsOf(terms)) {
        const name = `${dimension} ${nameOf(subject, terms)}`;
        if (moved.has(name)) continue;
        moved.add(name);
        const missing = this.#missing(name, intervalMs, now) + units[dimension];
        this.#buckets.set(name, { units: Math.max(0, missing), at: now });
      }
    }
  }

  end({ limits, requestId }: LimitAsk): void {
    for (const { subject, terms } of limits) this.#underWay.get(nameOf(subject, terms))?.delete(requestId);
  }

  /** Units that are not back yet. */
  #missing(name: string, intervalMs: number, now: number): number {
    const { units, at } = this.#buckets.get(name) ?? { units: 0, at: now };
    return Math.max(0, units - (now - at) / intervalMs);
  }
}

/** Limits of one subject with the same rates are one. */
function nameOf(subject: string, { requestsPerMinute, tokensPerMinute, cost }: LimitTerms): string {
  return JSON.stringify([subject, requestsPerMinute, tokensPerMinute, cost && cost.perMs / cost.nanoUsd]);
}

function bucketsOf({ requestsPerMinute, tokensPerMinute, cost, burst }: LimitTerms) {
  const buckets: Array<{ dimension: 'requests' | 'tokens' | 'cost'; intervalMs: number; burst: number }> = [];
  if (requestsPerMinute !== undefined)
    buckets.push({ dimension: 'requests', intervalMs: 60_000 / requestsPerMinute, burst: burst ?? requestsPerMinute });
  if (tokensPerMinute !== undefined)
    buckets.push({ dimension: 'tokens', intervalMs: 60_000 / tokensPerMinute, burst: tokensPerMinute });
  if (cost !== undefined)
    buckets.push({ dimension: 'cost', intervalMs: cost.perMs / cost.nanoUsd, burst: cost.nanoUsd });
  return buckets;
}

/** Emission intervals are powers of two, so that the model's sums are exact. */
const terms: fc.Arbitrary<LimitTerms> = fc
  .record(
    {
      requestsPerMinute: fc.constantFrom(60_000 / 8_192, 60_000 / 1_024, 60_000 / 256),
      tokensPerMinute: fc.constantFrom(60_000 / 32, 60_000 / 64),
      cost: fc.record({ nanoUsd: fc.constantFrom(512, 4_096), perMs: fc.constantFrom(32_768, 262_144) }),
      concurrent: fc.integer({ min: 1, max: 4 }),
    },
    { requiredKeys: [] },
  )
  .chain((found) =>
    found.requestsPerMinute === undefined
      ? fc.constant(found)
      : fc.option(fc.integer({ min: 1, max: 12 })).map((burst) => (burst === null ? found : { ...found, burst })),
  );
const SUBJECTS = ['total', 'team:a', 'team:b', 'user:ada'];
const limits = fc.array(
  fc
    .record({ subject: fc.constantFrom(...SUBJECTS), found: terms, isPattern: fc.boolean() })
    .map(({ subject, found, isPattern }) =>
      limit(subject, found, isPattern && subject !== 'total' ? `${subject.slice(0, 4)}:*` : subject),
    ),
  { minLength: 1, maxLength: 5 },
);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ take: fc.nat(9), tokens: fc.nat(2_500), cost: fc.nat(5_000) }) },
  { weight: 2, arbitrary: fc.record({ end: fc.nat(20), tokens: fc.nat(2_500), cost: fc.nat(5_000) }) },
  { weight: 1, arbitrary: fc.record({ giveBack: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ passMs: fc.nat(20_000) }) },
);

test('in process, in Redis and by a plain model, random requests are decided alike', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(limits, { minLength: 1, maxLength: 3 }),
      fc.array(step, { minLength: 1, maxLength: 40 }),
      async (rules, steps) => {
        await redis.run(FLUSH, 'none', []);
        const [here, there, model] = [inProcess(), inRedis(), new Model()];
        const underWay: Array<{ asked: LimitAsk; one: Taken; other: Taken }> = [];
        let now = 1_000;
        for (const action of steps) {
          if ('passMs' in action) now += action.passMs;
          else if ('take' in action) {
            const asked = ask(rules[action.take % rules.length] ?? [], action.tokens, action.cost);
            const one = await here.take(asked, now);
            const other = await there.take(asked, now);
            expect(briefly(other)).toBe(briefly(one));
            expect(briefly(one).replace(/ \d+$/, '')).toBe(model.take(asked, now));
            expect(near(other.standing)).toEqual(near(one.standing));
            if (isTaken(one) && isTaken(other)) underWay.push({ asked, one, other });
          } else {
            const isGiven = 'giveBack' in action;
            const place = isGiven ? action.giveBack : action.end;
            const [ended] = underWay.splice(place % Math.max(1, underWay.length), 1);
            if (ended === undefined) continue;
            const { asked, one, other } = ended;
            if (isGiven) {
              await here.giveBack(one, now);
              await there.giveBack(other, now);
              model.move(asked.limits, { requests: -1, tokens: -asked.tokens, cost: -asked.costNanoUsd }, now);
            } else {
              const actual = { tokens: action.tokens, costNanoUsd: action.cost };
              await here.end(one, actual, now);
              await there.end(other, actual, now);
              const more = { tokens: actual.tokens - asked.tokens, cost: actual.costNanoUsd - asked.costNanoUsd };
              model.move(asked.limits, { requests: 0, ...more }, now);
            }
            model.end(asked);
          }
        }
      },
    ),
    { numRuns: 150 },
  );
}, 120_000);

/** Redis tells times as whole microseconds. */
const near = (standing: Taken['standing']): unknown =>
  JSON.parse(
    JSON.stringify(standing, (_key, value: unknown) => (typeof value === 'number' ? Math.round(value) : value)),
  );

describe('in Redis', () => {
  test('the limit holds for two ingresses together', async () => {
    const team = [limit('team:search', { requestsPerMinute: 20 })];
    const [one, other] = [sharedLimits(), sharedLimits()];
    const takeAt = async (i: number): Promise<Taken | Refused> =>
      (i % 2 === 0 ? one : other).take(ask(team), performance.now());
    const outcomes = await Promise.all(Array.from({ length: 60 }, (_, i) => takeAt(i)));
    expect(outcomes.filter(isTaken)).toHaveLength(20);
  });

  test('counters go when they are full', async () => {
    const limits = sharedLimits();
    await limits.take(ask([limit('user:ada', { requestsPerMinute: 6 })]), 0);
    const ttl = Number(await redis.run(TTL, 'sluice:scope:user:ada', []));
    expect(ttl).toBeGreaterThan(9_000);
    expect(ttl).toBeLessThanOrEqual(11_001);
  });

  test('nothing is left of what was given back', async () => {
    const limits = sharedLimits();
    const all = [limit('user:ada', { requestsPerMinute: 6, tokensPerMinute: 10, concurrent: 3 })];
    const taken = await limits.take(ask(all, 10), 0);
    if (isTaken(taken)) limits.giveBack(taken, 0);
    expect(await redis.run(KEYS_LEFT, 'none', [])).toEqual([]);
  });

  test('requests of an ingress that died leave, those of one that lives stay', async () => {
    const waits = { holdMs: 600, renewMs: 100 };
    const dead = sharedLimits({ waits });
    const living = sharedLimits({ waits });
    const team = [limit('team:a', { concurrent: 2 })];
    await dead.take(ask(team), 0);
    await living.take(ask(team), 0);
    dead.stop();
    const third = sharedLimits({ waits });
    expect((await third.take(ask(team), 0)).kind).toBe('refused');
    let outcome = await third.take(ask(team), 0);
    while (outcome.kind === 'refused') {
      await new Promise((resolve) => setTimeout(resolve, 50));
      outcome = await third.take(ask(team), 0);
    }
    // Longer than any request counts without being renewed.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect((await third.take(ask(team), 0)).kind).toBe('refused');
  });

  test('a Redis that has lost everything starts anew, and hears of the requests under way again', async () => {
    const limits = sharedLimits({ waits: { holdMs: 5_000, renewMs: 50 } });
    const other = sharedLimits();
    const team = [limit('team:a', { requestsPerMinute: 1, concurrent: 1 })];
    await limits.take(ask(team), 0);
    await redis.run(FLUSH, 'none', []);
    for (;;) {
      const keys = (await redis.run(KEYS_LEFT, 'none', [])) as string[];
      if (keys.length > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(briefly(await other.take(ask(team), 0))).toBe(`team:a concurrent ${CONCURRENT_WAIT_MS}`);
  });

  test('what is beyond a limit here already, Redis is not asked about', async () => {
    let asked = 0;
    const limits = sharedLimits({
      redis: {
        isAway: false,
        run: (script, keys, args) => {
          asked++;
          return redis.run(script, keys, args);
        },
      },
    });
    const team = [limit('team:a', { requestsPerMinute: 1 })];
    for (let i = 0; i < 5; i++) await limits.take(ask(team), 0);
    expect(asked).toBe(1);
  });

  test('what Redis refuses counts nowhere', async () => {
    const [one, other] = [sharedLimits(), sharedLimits()];
    const narrow = limit('user:ada', { requestsPerMinute: 1 });
    const wide = limit('team:a', { tokensPerMinute: 100 });
    await one.take(ask([narrow]), 0);
    expect(briefly(await other.take(ask([narrow, wide], 100), 0))).toMatch('user:ada requests');
    expect(briefly(await other.take(ask([wide], 100), 0))).toBe('taken');
  });

  test('while Redis is away each ingress decides by its own account', async () => {
    let degraded = 0;
    const limits = sharedLimits({
      redis: { isAway: true, run: () => Promise.resolve(undefined) },
      onDegraded: () => degraded++,
    });
    const team = [limit('team:a', { requestsPerMinute: 2, concurrent: 5 })];
    const outcomes = [];
    for (let i = 0; i < 4; i++) outcomes.push(await limits.take(ask(team), 0));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['taken', 'taken', 'refused', 'refused']);
    expect(degraded).toBe(2);
    for (const outcome of outcomes) if (isTaken(outcome)) limits.giveBack(outcome, 0);
    expect(await redis.run(KEYS_LEFT, 'none', [])).toEqual([]);
  });
});
