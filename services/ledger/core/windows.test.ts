import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WindowCalendar, windowOf } from './windows.ts';

const HOUR = 3_600_000;
const utc = (text: string): number => Date.parse(text);
const iso = (epochMs: number): string => new Date(epochMs).toISOString();

test.each([
  {
    per: 'day',
    zone: 'UTC',
    at: '2026-11-20T23:59:59.999Z',
    from: '2026-11-20T00:00:00.000Z',
    to: '2026-11-21T00:00:00.000Z',
  },
  {
    per: 'day',
    zone: 'UTC',
    at: '2026-11-21T00:00:00.000Z',
    from: '2026-11-21T00:00:00.000Z',
    to: '2026-11-22T00:00:00.000Z',
  },
  {
    per: 'day',
    zone: 'Asia/Tokyo',
    at: '2026-11-20T15:00:00.000Z',
    from: '2026-11-20T15:00:00.000Z',
    to: '2026-11-21T15:00:00.000Z',
  },
  {
    per: 'week',
    zone: 'UTC',
    at: '2026-11-22T12:00:00.000Z',
    from: '2026-11-16T00:00:00.000Z',
    to: '2026-11-23T00:00:00.000Z',
  },
  {
    per: 'week',
    zone: 'UTC',
    at: '2026-11-23T00:00:00.000Z',
    from: '2026-11-23T00:00:00.000Z',
    to: '2026-11-30T00:00:00.000Z',
  },
  {
    per: 'month',
    zone: 'UTC',
    at: '2028-02-29T12:00:00.000Z',
    from: '2028-02-01T00:00:00.000Z',
    to: '2028-03-01T00:00:00.000Z',
  },
  {
    per: 'month',
    zone: 'America/New_York',
    at: '2026-11-01T03:00:00.000Z',
    from: '2026-10-01T04:00:00.000Z',
    to: '2026-11-01T04:00:00.000Z',
  },
] as const)('a $per in $zone at $at', ({ per, zone, at, from, to }) => {
  const { startsAt, endsAt } = windowOf({ per, timeZone: zone }, utc(at));
  expect([iso(startsAt), iso(endsAt)]).toEqual([from, to]);
});

test.each([
  { why: 'the clock is put forward', zone: 'Europe/Berlin', at: '2026-03-29T12:00:00Z', hours: 23 },
  { why: 'the clock is put back', zone: 'Europe/Berlin', at: '2026-10-25T12:00:00Z', hours: 25 },
  { why: 'midnight itself is skipped', zone: 'America/Havana', at: '2026-03-08T12:00:00Z', hours: 23 },
  { why: 'half an hour is moved', zone: 'Australia/Lord_Howe', at: '2026-04-04T20:00:00Z', hours: 24.5 },
  { why: 'nothing happens', zone: 'Europe/Berlin', at: '2026-06-01T12:00:00Z', hours: 24 },
])('a day has $hours hours when $why', ({ zone, at, hours }) => {
  const { startsAt, endsAt } = windowOf({ per: 'day', timeZone: zone }, utc(at));
  expect((endsAt - startsAt) / HOUR).toBe(hours);
});

test.each(['rolling', 'total'] as const)('a %s budget has one window, for ever', (per) => {
  expect(windowOf({ per, timeZone: 'UTC' }, 0)).toEqual({ startsAt: -Infinity, endsAt: Infinity });
});

describe('properties', () => {
  const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Pacific/Apia', 'Australia/Lord_Howe'];
  const calendar = fc.record({ per: fc.constantFrom('day', 'week', 'month'), timeZone: fc.constantFrom(...zones) });
  const moment = fc.integer({ min: utc('2010-01-01T00:00:00Z'), max: utc('2040-01-01T00:00:00Z') });

  test('every moment is in its window, and windows follow each other without a gap', () => {
    fc.assert(
      fc.property(calendar, moment, (period, at) => {
        const window = windowOf(period, at);
        expect(window.startsAt).toBeLessThanOrEqual(at);
        expect(window.endsAt).toBeGreaterThan(at);
        expect(windowOf(period, window.startsAt)).toEqual(window);
        expect(windowOf(period, window.endsAt - 1)).toEqual(window);
        expect(windowOf(period, window.endsAt).startsAt).toBe(window.endsAt);
        expect(windowOf(period, window.startsAt - 1).endsAt).toBe(window.startsAt);
      }),
    );
  });

  test('a window begins at the first instant of its date: of a Monday, of the first of a month', () => {
    fc.assert(
      fc.property(calendar, moment, (period, at) => {
        const { startsAt } = windowOf(period, at);
        const first = Temporal.Instant.fromEpochMilliseconds(startsAt).toZonedDateTimeISO(period.timeZone);
        expect(first.startOfDay().epochMilliseconds).toBe(startsAt);
        if (period.per === 'week') expect(first.dayOfWeek).toBe(1);
        if (period.per === 'month') expect(first.day).toBe(1);
      }),
    );
  });

  test('a calendar that remembers says the same', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(calendar, moment)), (asked) => {
        const remembering = new WindowCalendar();
        for (const [period, at] of asked) expect(remembering.windowOf(period, at)).toEqual(windowOf(period, at));
      }),
    );
  });
});
