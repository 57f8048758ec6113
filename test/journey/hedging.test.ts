import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { readStream, textOf } from '../support/sse.ts';

const HEDGE = { strategy: 'ordered', hedge: { after: '200ms', share: '50%' } };

let journey: Journey;

beforeAll(async () => {
  const timeouts = { first_token: '5s', total: '5s' };
  journey = await startJourney({
    providers: {
      silent: { script: 'seq=hang', timeouts, breaker: 'off' },
      late: { script: 'seq=slow&slow=500', timeouts, breaker: 'off' },
      'fails-late': { script: 'seq=headers-only&hang=400', timeouts, breaker: 'off' },
      failing: { script: 'seq=500', breaker: 'off' },
      quick: '',
    },
    routes: {
      'silent-or-quick': { ...HEDGE, targets: ['silent/m', 'quick/m'] },
      'late-or-silent': { ...HEDGE, targets: ['late/m', 'silent/m'] },
      'fails-late-or-late': { ...HEDGE, targets: ['fails-late/m', 'late/m'] },
      'late-or-failing': { ...HEDGE, targets: ['late/m', 'failing/m'] },
      'all-silent': { ...HEDGE, targets: ['silent/m', 'late/m'], timeout: '350ms' },
      alone: { ...HEDGE, targets: ['late/m'] },
      'quick-first': { ...HEDGE, targets: ['quick/m', 'silent/m'] },
      scarce: { ...HEDGE, hedge: { after: '50ms', share: '1%' }, targets: ['late/m', 'quick/m'] },
    },
  });
});

afterAll(() => journey.stop());

describe.each([true, false])('with stream: %s', (stream) => {
  test('a second attempt answers for a silent first, whose connection is closed', async () => {
    const { provider } = journey;
    const before = provider.stats().total.abandoned;
    const response = await journey.chat('silent-or-quick', { stream });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-sluice-hedged': 'true',
      'x-sluice-deployment': 'quick/m',
      'x-sluice-reason': 'hedge',
      'x-sluice-attempts': '2',
    });
    if (stream) expect(textOf((await readStream(response)).chunks)).toBe('token '.repeat(8));
    else await response.text();
    await provider.waitFor(({ active, total }) => active === 0 && total.abandoned === before + 1);
    const rows = await journey.gateway.rowsOf(requestIdOf(response), 2);
    expect(rows.map(({ deployment, error }) => [deployment, error])).toEqual([
      ['silent/m', 'hedge_lost'],
      ['quick/m', null],
    ]);
  });

  test('a first attempt that comes before the second is the answer', async () => {
    const response = await journey.chat('late-or-silent', { stream });
    await response.text();
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-sluice-hedged': 'true',
      'x-sluice-deployment': 'late/m',
    });
    const rows = await journey.gateway.rowsOf(requestIdOf(response), 2);
    expect(rows.map(({ deployment, error }) => [deployment, error])).toEqual([
      ['late/m', null],
      ['silent/m', 'hedge_lost'],
    ]);
  });

  test('a second attempt that fails changes nothing', async () => {
    const response = await journey.chat('late-or-failing', { stream });
    await response.text();
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-sluice-deployment': 'late/m',
      'x-sluice-failed': 'failing/m=upstream_failed',
    });
  });

  test('a first attempt that fails leaves it to the second', async () => {
    const response = await journey.chat('fails-late-or-late', { stream });
    await response.text();
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-sluice-deployment': 'late/m',
      'x-sluice-attempts': '2',
      'x-sluice-failed': expect.stringMatching(/^fails-late\/m=/) as string,
    });
  });

  test('both end at the deadline', async () => {
    const response = await journey.chat('all-silent', { stream });
    expect((await errorOf(response)).code).toBe('deadline_exceeded');
    await journey.provider.waitFor(({ active }) => active === 0);
    const rows = await journey.gateway.rowsOf(requestIdOf(response), 2);
    expect(rows.map(({ error }) => error)).toEqual(['deadline_exceeded', 'deadline_exceeded']);
  });
});

test.each(['alone', 'quick-first'])('%s: no second attempt where there is no need, or nobody else', async (model) => {
  const response = await journey.chat(model);
  await response.text();
  expect(response.headers.get('x-sluice-hedged')).toBeNull();
  expect(response.headers.get('x-sluice-attempts')).toBe('1');
});

test('a client that leaves ends both', async () => {
  const { provider } = journey;
  const before = provider.stats().total.abandoned;
  const abort = new AbortController();
  const asked = journey.chat('late-or-silent', { stream: true }, { signal: abort.signal }).catch(() => undefined);
  await provider.waitFor(({ active }) => active === 2);
  abort.abort();
  await asked;
  await provider.waitFor(({ active, total }) => active === 0 && total.abandoned === before + 2);
});

test('no more requests are hedged than the route’s share, and one each second', async () => {
  const responses = await Promise.all(Array.from({ length: 40 }, () => journey.chat('scarce')));
  await Promise.all(responses.map((response) => response.text()));
  const hedged = responses.filter(({ headers }) => headers.get('x-sluice-hedged') === 'true');
  expect(hedged.length).toBeGreaterThan(0);
  // Within ten seconds: ten for nothing, and 1 % of forty.
  expect(hedged.length).toBeLessThanOrEqual(10);
});
