import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runWorker } from '../../infra/services.ts';
import type { RunningService } from '../../infra/services.ts';
import { systemClock } from '../../shared/clock.ts';
import { HeardBeats } from '../support/beats.ts';
import { redisUrl } from '../support/fresh.ts';
import { requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { until } from '../support/settled.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';

const orGood = (...names: string[]): Record<string, object> =>
  Object.fromEntries(
    names.map((name) => [`${name}-or-good`, { strategy: 'ordered', targets: [`${name}/m`], fallbacks: ['good/m'] }]),
  );

describe('one worker', () => {
  let journey: Journey;
  let beats: HeardBeats;

  beforeAll(async () => {
    journey = await startJourney({
      providers: {
        few: { script: '', limits: { requests_per_minute: 3 } },
        small: { script: '', limits: { tokens_per_minute: 1_000 } },
        throttled: 'seq=429&ra=30',
        unsaid: 'seq=429&ra=-',
        overloaded: 'seq=503&ra=30',
        telling: 'ratelimit=1',
        good: '',
      },
      routes: orGood('few', 'throttled', 'unsaid', 'overloaded'),
    });
    beats = await HeardBeats.listen(journey.gateway.nats.url);
  });

  afterAll(async () => {
    await beats.stop();
    await journey.stop();
  });

  const servedBy = async (model: string): Promise<string | null> => {
    const response = await journey.chat(model);
    await response.text();
    return response.headers.get('x-sluice-deployment');
  };

  test('requests above the limit are declined before the provider is called, and go elsewhere', async () => {
    const throttled = beats.untilReport('few/m', ({ requests }) => requests?.room === 0);
    const served = [];
    for (let i = 0; i < 5; i++) served.push(await servedBy('few-or-good'));
    expect(served).toEqual(['few/m', 'few/m', 'few/m', 'good/m', 'good/m']);
    expect(journey.counted('few').requests).toBe(3);
    expect(await throttled).toMatchObject({ breaker: 'closed', requests: { room: 0, perMinute: 3 } });
  });

  test('tokens are taken as estimated and corrected with what was used', async () => {
    await journey.chat('small/m', { max_tokens: 700 });
    const { tokens } = await beats.untilReport('small/m', ({ inFlight }) => inFlight === 0);
    // Eight tokens came, and the prompt has a few.
    expect(tokens).toMatchObject({ perMinute: 1_000 });
    expect(tokens?.room).toBeGreaterThan(900);
  });

  test.each([
    { name: 'throttled', leastMs: 29_000, why: 'as long as it says' },
    { name: 'unsaid', leastMs: 900, why: 'for a second when it says nothing' },
    { name: 'overloaded', leastMs: 29_000, why: 'as with a 503 that names a time' },
  ])('a 429 keeps everybody away $why ($name)', async ({ name, leastMs }) => {
    const told = beats.untilReport(`${name}/m`, ({ throttledMs }) => throttledMs !== undefined);
    for (let i = 0; i < 4; i++) expect(await servedBy(`${name}-or-good`)).toBe('good/m');
    expect(journey.counted(name).requests).toBe(1);
    const { throttledMs } = await told;
    expect(throttledMs).toBeGreaterThan(leastMs);
    expect(throttledMs).toBeLessThanOrEqual(30_000);
  });

  test('a provider’s headers tell a limit where none is configured', async () => {
    await journey.chat('telling/m');
    const { requests, tokens } = await beats.untilReport('telling/m', (report) => report.requests !== undefined);
    expect(requests?.perMinute).toBeGreaterThan(0);
    expect(tokens?.perMinute).toBeGreaterThan(0);
  });

  test('what was declined was no attempt, and costs nothing', async () => {
    const response = await journey.chat('throttled-or-good');
    expect(await journey.gateway.rowsOf(requestIdOf(response), 1)).toHaveLength(1);
  });
});

const AT_ONCE = 5;

describe('two workers with one Redis', () => {
  let journey: Journey;
  let beats: HeardBeats;
  let redis: TcpProxy;
  let second: RunningService;
  const registry = new Registry();
  const logged: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(line) });

  beforeAll(async () => {
    redis = await startTcpProxy(await redisUrl());
    const limited = { script: '', limits: { requests_per_minute: 20 } };
    journey = await startJourney({
      providers: {
        ...{ shared: limited, later: limited, again: limited, late: limited },
        refusing: { script: 'seq=429&ra=30', limits: { requests_per_minute: 1_000 } },
        good: '',
      },
      routes: orGood('shared', 'later', 'again', 'late', 'refusing'),
      redisUrl: redis.url,
      log,
    });
    const { config, nats } = journey.gateway;
    second = await runWorker({ config, natsUrl: nats.url, clock: systemClock, log, registry });
    beats = await HeardBeats.listen(nats.url);
    while ((await second.notReady()) !== null) await new Promise((resolve) => setTimeout(resolve, 50));
  });

  afterAll(async () => {
    await beats.stop();
    await second.stop(100);
    await journey.stop();
    await redis.stop();
  });

  /** Some at a time: two workers, the gateway and this test are one process, whose stalls would count as Redis being away. */
  const servedBy = async (model: string, count: number): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (let sent = 0; sent < count; sent += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, count - sent) }, () => journey.chat(model));
      for (const response of await Promise.all(some)) {
        const name = response.headers.get('x-sluice-deployment') ?? '';
        counts[name] = (counts[name] ?? 0) + 1;
      }
    }
    return counts;
  };

  test('the limit holds for both together', async () => {
    const served = await servedBy('shared-or-good', 60);
    expect(journey.counted('shared').requests).toBe(20);
    expect(served).toEqual({ 'shared/m': 20, 'good/m': 40 });
  });

  test('a 429 that one of them got keeps the other away', async () => {
    await journey.chat('refusing-or-good');
    await beats.untilReport('refusing/m', ({ throttledMs }) => throttledMs !== undefined);
    await servedBy('refusing-or-good', 20);
    expect(journey.counted('refusing').requests).toBe(1);
  });

  test('without Redis each goes on with its own, and with it they are one again', async () => {
    const lines = (text: string): number => logged.filter((line) => line.includes(text)).length;
    redis.hang();
    const served = await servedBy('later-or-good', 60);
    expect(served['later/m']).toBeGreaterThan(20);
    expect(served['later/m']).toBeLessThanOrEqual(40);
    const degraded = registry.getSingleMetric('sluice_limits_degraded_total');
    expect((await degraded?.get())?.values[0]?.value).toBeGreaterThan(0);
    // Once for each worker.
    expect(lines('Redis is away')).toBe(2);
    redis.resume();
    const areBack = (): boolean => lines('Redis is back') === 2;
    await until(areBack, 10_000, () => logged.join(''));
    await servedBy('again-or-good', 60);
    expect(journey.counted('again').requests).toBe(20);
  });

  test('once it is known to be away nobody waits for it', async () => {
    redis.hang();
    await servedBy('late-or-good', 2);
    const before = performance.now();
    await servedBy('late-or-good', 20);
    expect(performance.now() - before).toBeLessThan(1_000);
    redis.resume();
  });
});
