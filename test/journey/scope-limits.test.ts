import OpenAI from 'openai';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runIngress } from '../../infra/services.ts';
import type { RunningIngress } from '../../infra/services.ts';
import { systemClock } from '../../shared/clock.ts';
import { redisUrl } from '../support/fresh.ts';
import { TEST_KEY, untilReady } from '../support/gateway.ts';
import { errorOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { until } from '../support/settled.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';

const route = { targets: ['good/m'] };
const rateHeaders = (response: Response): Record<string, string> =>
  Object.fromEntries([...response.headers].filter(([name]) => name.startsWith('x-ratelimit-')));

describe('one ingress', () => {
  let journey: Journey;

  beforeAll(async () => {
    journey = await startJourney({
      providers: { good: '', slow: 'itl=50&n=200', refusing: 'seq=400' },
      routes: { narrow: { targets: ['slow/m'], limits: { concurrent: 1 } }, counted: route, dear: route },
      limits: {
        per_user: { requests_per_minute: 3 },
        'feature:summary': { requests_per_minute: 60, burst: 1 },
        'route:counted': { tokens_per_minute: 1_000 },
        'route:dear': { cost: { amount: '0.001 USD', per: '1h' } },
      },
    });
  });

  afterAll(() => journey.stop());

  const askAs = (user: string, model = 'good/m', more: object = {}): Promise<Response> =>
    journey.chat(model, more, { headers: { 'x-sluice-user': user } });

  test('answers tell how the tightest limit stands, and a refusal whose it is', async () => {
    const left = [];
    for (let i = 0; i < 3; i++) left.push((await askAs('ada')).headers.get('x-ratelimit-remaining-requests'));
    expect(left).toEqual(['2', '1', '0']);
    const refused = await askAs('ada');
    expect(refused.status).toBe(429);
    const { message, code, type } = await errorOf(refused);
    expect({ code, type }).toEqual({ code: 'rate_limit_exceeded', type: 'rate_limit_error' });
    expect(message).toMatch(/^Rate limit reached for user:ada: 3 requests per minute\. Please try again in [\d.]+s\.$/);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(10);
    expect(refused.headers.get('x-should-retry')).toBe('true');
    expect(rateHeaders(refused)).toEqual({
      'x-ratelimit-limit-requests': '3',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': expect.stringMatching(/^(\d+m)?[\d.]+s$/) as string,
    });
    expect((await askAs('bob')).status).toBe(200);
  });

  test('OpenAI’s SDK takes a refusal for a rate limit', async () => {
    const openai = new OpenAI({ baseURL: journey.gateway.baseUrl, apiKey: TEST_KEY, maxRetries: 0 });
    const ask = () =>
      openai.chat.completions.create({ model: 'good/m', messages: [{ role: 'user', content: '?' }], user: 'sdk' });
    for (let i = 0; i < 3; i++) await ask();
    await expect(ask()).rejects.toBeInstanceOf(OpenAI.RateLimitError);
  });

  test('without a limit there are no such headers', async () => {
    const response = await journey.chat('good/m');
    expect(response.status).toBe(200);
    expect(rateHeaders(response)).toEqual({});
  });

  test('a burst is as many as may come at once', async () => {
    const init = { headers: { 'x-sluice-feature': 'summary' } };
    const statuses = [];
    for (let i = 0; i < 2; i++) statuses.push((await journey.chat('good/m', {}, init)).status);
    expect(statuses).toEqual([200, 429]);
  });

  test('tokens are taken as estimated, and corrected by what was used', async () => {
    for (let i = 0; i < 4; i++) {
      const response = await journey.chat('counted', { max_tokens: 800 });
      expect(response.status).toBe(200);
      await response.text();
    }
  });

  test('money is taken as it may be spent at most', async () => {
    // 2 USD per million output tokens.
    const response = await journey.chat('dear', { max_tokens: 400 });
    await response.text();
    expect(response.status).toBe(200);
    const both = await Promise.all([1, 2].map(() => journey.chat('dear', { max_tokens: 400 })));
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 429]);
    const refused = both.find(({ status }) => status === 429) as Response;
    expect((await errorOf(refused)).message).toMatch('route:dear: $0.001 per 1h');
  });

  test('a request under way has its place until it ends, also when its client leaves', async () => {
    const abort = new AbortController();
    const first = await journey.chat('narrow', { stream: true }, { signal: abort.signal });
    expect(first.status).toBe(200);
    const second = await journey.chat('narrow', { stream: true });
    expect((await errorOf(second)).message).toMatch('route:narrow: 1 concurrent requests');
    abort.abort();
    const third = async (): Promise<boolean> => {
      const stop = new AbortController();
      const { status } = await journey.chat('narrow', { stream: true }, { signal: stop.signal });
      stop.abort();
      return status === 200;
    };
    let isFree = false;
    for (const givesUpAt = performance.now() + 10_000; !isFree && performance.now() < givesUpAt;)
      isFree = await third();
    expect(isFree).toBe(true);
  });

  test('a request that fails has been one all the same', async () => {
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await askAs('erring', 'refusing/m')).status);
    expect(statuses).toEqual([400, 400, 400, 429]);
  });
});

describe('two ingresses with one Redis', () => {
  let journey: Journey;
  let second: RunningIngress;
  let redis: TcpProxy;
  const logged: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(line) });

  beforeAll(async () => {
    redis = await startTcpProxy(await redisUrl());
    journey = await startJourney({
      ...{ providers: { good: '' }, redisUrl: redis.url, log },
      limits: { per_user: { requests_per_minute: 10 } },
    });
    const { config, nats } = journey.gateway;
    second = await runIngress({ config, natsUrl: nats.url, clock: systemClock, log, registry: new Registry() });
    await untilReady(second.url);
  });

  afterAll(async () => {
    await second.stop(100);
    await journey.stop();
    await redis.stop();
  });

  const ask = async (i: number, user: string): Promise<number> => {
    const url = i % 2 === 0 ? journey.gateway.url : second.url;
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...journey.headers, 'content-type': 'application/json', 'x-sluice-user': user },
      body: JSON.stringify({ model: 'good/m', messages: [{ role: 'user', content: '?' }] }),
    });
    await response.text();
    return response.status;
  };
  /** Some at a time: all of it is one process, whose stalls would count as Redis being away. */
  const served = async (count: number, user: string): Promise<number> => {
    let served = 0;
    for (let i = 0; i < count; i += 4) {
      const statuses = await Promise.all([0, 1, 2, 3].map((j) => ask(i + j, user)));
      served += statuses.filter((status) => status === 200).length;
    }
    return served;
  };

  test('a limit holds for both together', async () => {
    expect(await served(24, 'ada')).toBe(10);
  });

  test('without Redis each goes on with its own account, and with it they are one again', async () => {
    const lines = (text: string): number => logged.filter((line) => line.includes(text)).length;
    redis.hang();
    const alone = await served(32, 'bob');
    expect(alone).toBeGreaterThan(10);
    expect(alone).toBeLessThanOrEqual(20);
    expect(lines('limits of scopes hold for each ingress alone')).toBe(2);
    redis.resume();
    const areBack = (): boolean => lines('limits of scopes hold for all ingresses together') === 2;
    await until(areBack, 10_000, () => logged.join(''));
    expect(await served(24, 'eve')).toBe(10);
  });
});
