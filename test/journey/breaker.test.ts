import { afterAll, beforeAll, expect, test } from 'vitest';
import { HeardBeats } from '../support/beats.ts';
import { startJourney } from '../support/journey.ts';
import type { Journey, Played } from '../support/journey.ts';

const BREAKER = { consecutive_failures: 3, open_for: '400ms' };
const failing = (script: string): Played => ({
  script,
  breaker: BREAKER,
  timeouts: { first_token: '200ms', total: '400ms' },
});

let journey: Journey;
let beats: HeardBeats;

beforeAll(async () => {
  journey = await startJourney({
    providers: {
      broken: failing('seq=500'),
      hanging: failing('seq=hang'),
      mending: failing('seq=500,500,500,ok'),
      wrong: failing('seq=400'),
      throttled: failing('seq=429&ra=0'),
      cut: failing('seq=cut'),
      left: failing('itl=50&n=100'),
      good: '',
      adaptive: { script: 'seq=503&ra=-', concurrency: { min: 2, max: 40 } },
      apart: { script: '', models: { m: {}, own: { concurrency: 3 } } },
    },
    routes: Object.fromEntries(
      ['broken', 'hanging', 'mending'].map((name) => [
        `${name}-or-good`,
        { strategy: 'ordered', targets: [`${name}/m`], fallbacks: ['good/m'] },
      ]),
    ),
  });
  beats = await HeardBeats.listen(journey.gateway.nats.url);
});

afterAll(async () => {
  await beats.stop();
  await journey.stop();
});

test('failures in a row open it: the routers hear of it at once, and the provider is left alone', async () => {
  const opened = beats.untilReport('broken/m', ({ breaker }) => breaker === 'open');
  for (let i = 0; i < 3; i++) expect((await journey.chat('broken-or-good')).status).toBe(200);
  expect(await opened).toMatchObject({ failureRatio: 1, inFlight: 0 });
  expect((await opened).probeInMs).toBeLessThanOrEqual(440);
  const asked = journey.counted('broken').requests;
  await journey.chat('broken-or-good');
  expect(journey.counted('broken').requests).toBe(asked);
});

test('the metrics tell of it', async () => {
  const text = await (await fetch(`${journey.gateway.url}/metrics`)).text();
  expect(text).toContain('sluice_breaker_transitions_total{deployment="broken/m",to="open"} 1');
  expect(text).toMatch(/^sluice_deployment_breaker_state\{deployment="broken\/m"\} [12]$/m);
  expect(text).toContain('sluice_worker_capacity{pool="apart~own"} 3');
});

test('silence opens it as well', async () => {
  const opened = beats.untilReport('hanging/m', ({ breaker }) => breaker === 'open');
  await Promise.all([1, 2, 3].map(() => journey.chat('hanging-or-good', { stream: true })));
  await opened;
});

test('after its time probes go through, and their success closes it', async () => {
  for (let i = 0; i < 3; i++) await journey.chat('mending-or-good');
  await beats.untilReport('mending/m', ({ breaker }) => breaker === 'open');
  await beats.untilReport('mending/m', ({ breaker, probeInMs }) => breaker === 'half_open' && probeInMs === 0);
  // The script goes round: its fourth answer is good, and the next three would not be.
  const closed = await journey.chat('mending-or-good');
  expect(closed.headers.get('x-sluice-deployment')).toBe('mending/m');
  const again = beats.untilReport('mending/m', ({ breaker, probeInMs }) => breaker === 'open' && (probeInMs ?? 0) > 0);
  // Routers hear of the first probe's end before they send another.
  await expect
    .poll(async () => {
      await journey.chat('mending-or-good');
      return journey.counted('mending').requests;
    })
    .toBe(5);
  // The second time it stays open for twice as long.
  expect((await again).probeInMs).toBeGreaterThan(600);
});

test.each(['wrong', 'throttled'])('%s: what is not the deployment’s fault leaves it closed', async (name) => {
  for (let i = 0; i < 6; i++) await journey.chat(`${name}/m`);
  expect((await beats.untilReport(`${name}/m`, ({ inFlight }) => inFlight === 0)).breaker).toBe('closed');
  // A 429 is tried again, since nobody else is there.
  expect(journey.counted(name).requests).toBeGreaterThanOrEqual(6);
});

test('clients that leave do not open it', async () => {
  for (let i = 0; i < 4; i++) {
    const controller = new AbortController();
    const response = await journey.chat('left/m', { stream: true }, { signal: controller.signal });
    await response.body?.getReader().read();
    controller.abort();
  }
  const report = await beats.untilReport('left/m', ({ inFlight }) => inFlight === 0);
  expect(report).toMatchObject({ breaker: 'closed', failureRatio: 0 });
});

test('a stream that breaks off in its middle counts as a failure', async () => {
  const opened = beats.untilReport('cut/m', ({ breaker }) => breaker === 'open');
  for (let i = 0; i < 3; i++) await (await journey.chat('cut/m', { stream: true })).text();
  await opened;
});

test('durations are reported: of streams to their first token, of plain answers as a whole', async () => {
  await (await journey.chat('good/m', { stream: true })).text();
  await journey.chat('good/m');
  const report = await beats.untilReport(
    'good/m',
    ({ ttftMs, totalMs }) => ttftMs !== undefined && totalMs !== undefined,
  );
  expect(report.ttftMs).toBeGreaterThan(0);
  expect(report.totalMs).toBeGreaterThan(0);
});

test('a provider that asks for less gets fewer slots, when that is allowed', async () => {
  expect(beats.capacity('adaptive')).toBe(20);
  await journey.chat('adaptive/m');
  await beats.until(() => beats.capacity('adaptive') === 18);
});

test('a model with a concurrency of its own has a pool of its own', async () => {
  expect([beats.capacity('apart'), beats.capacity('apart~own')]).toEqual([256, 3]);
  expect((await journey.chat('apart/own')).status).toBe(200);
});
