import { expect, test } from 'vitest';
import { failureOfStatus, HealthCheckRecord, nextCheckInMs } from './health-check.ts';

test.each([
  { outcomes: 'f', verdict: null, why: 'one failure may be chance' },
  { outcomes: 'ff', verdict: 'f', why: 'two in a row are none' },
  { outcomes: 'f.f', verdict: null, why: 'not in a row' },
  { outcomes: 'fff.', verdict: null, why: 'one success is enough' },
  { outcomes: 'ff.f', verdict: null, why: 'after a success it counts anew' },
])('$outcomes: $verdict ($why)', ({ outcomes, verdict }) => {
  const record = new HealthCheckRecord();
  let last: string | null = null;
  for (const outcome of outcomes) last = record.record(outcome === '.' ? null : outcome);
  expect(last).toBe(verdict);
});

test('it says why the last check failed', () => {
  const record = new HealthCheckRecord();
  record.record('timeout');
  expect(record.record('status 503')).toBe('status 503');
});

test.each([
  [200, null],
  [204, null],
  [302, null],
  [400, null],
  [401, 'status 401'],
  [403, 'status 403'],
  [404, null],
  [405, null],
  [429, null],
  [500, 'status 500'],
  [503, 'status 503'],
])('status %i: %s', (status, failure) => {
  expect(failureOfStatus(status)).toBe(failure);
});

test('the time between checks varies by a tenth', () => {
  expect([0, 0.5, 1].map((random) => nextCheckInMs(5_000, () => random))).toEqual([4_500, 5_000, 5_500]);
});
