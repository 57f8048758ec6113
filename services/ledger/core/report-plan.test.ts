import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KeptSince, ReportPlan, Span } from './report-plan.ts';
import { FOUR_DAYS_MS, planReport, spanOf, splitDays } from './report-plan.ts';
import { rankedWithin } from './roll-up.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ALL: KeptSince = { attempts: -Infinity, hours: -Infinity, days: -Infinity };

function parts({ days, hours, attempts }: ReportPlan): Span[] {
  return [...(days === undefined ? [] : [days]), ...hours, ...attempts].toSorted((a, b) => a.fromMs - b.fromMs);
}

test('whole days by days, the rest of the first and the last by hours, less than an hour by attempts', () => {
  const plan = planReport({ fromMs: DAY - HOUR - 5, toMs: 3 * DAY + 2 * HOUR + 7 }, ALL, false);
  expect(plan).toEqual({
    days: { fromMs: DAY, toMs: 3 * DAY },
    hours: [
      { fromMs: DAY - HOUR, toMs: DAY },
      { fromMs: 3 * DAY, toMs: 3 * DAY + 2 * HOUR },
    ],
    attempts: [
      { fromMs: DAY - HOUR - 5, toMs: DAY - HOUR },
      { fromMs: 3 * DAY + 2 * HOUR, toMs: 3 * DAY + 2 * HOUR + 7 },
    ],
  });
});

test('all of time is read by days', () => {
  const plan = planReport({ fromMs: -Infinity, toMs: Infinity }, ALL, false);
  expect(plan).toEqual({ days: { fromMs: -Infinity, toMs: Infinity }, hours: [], attempts: [] });
});

const time = fc.integer({ min: 0, max: 20 * DAY });
const mark = fc.oneof(fc.constant(-Infinity), time);

test('the parts are one after the other without a hole, each of whole units, and cover what was asked for', () => {
  fc.assert(
    fc.property(time, time, mark, mark, fc.boolean(), (from, length, attempts, hours, isByHour) => {
      const kept = { attempts, hours, days: -Infinity };
      const plan = planReport({ fromMs: from, toMs: from + length + 1 }, kept, isByHour);
      const found = parts(plan);
      expect(found[0]?.fromMs).toBeLessThanOrEqual(from);
      expect(found.at(-1)?.toMs).toBeGreaterThanOrEqual(from + length + 1);
      for (const [i, part] of found.entries()) if (i > 0) expect(part.fromMs).toBe(found[i - 1]?.toMs);
      for (const { fromMs, toMs } of plan.hours) {
        expect([fromMs % HOUR, toMs % HOUR]).toEqual([0, 0]);
        expect(fromMs).toBeGreaterThanOrEqual(hours);
      }
      if (plan.days !== undefined) expect([plan.days.fromMs % DAY, plan.days.toMs % DAY]).toEqual([0, 0]);
    }),
  );
});

test('whole days are four days each and the days before and after, one after the other', () => {
  const day = fc.oneof(
    fc.constantFrom(-Infinity, Infinity),
    fc.integer({ min: -20, max: 20 }).map((at) => at * DAY),
  );
  fc.assert(
    fc.property(day, day, (a, b) => {
      const days = { fromMs: Math.min(a, b), toMs: Math.max(a, b) };
      fc.pre(days.fromMs < days.toMs);
      const { fourDays, rest } = splitDays(days);
      const all = [...(fourDays === undefined ? [] : [fourDays]), ...rest].toSorted((c, d) => c.fromMs - d.fromMs);
      expect([all[0]?.fromMs, all.at(-1)?.toMs]).toEqual([days.fromMs, days.toMs]);
      for (const [i, part] of all.entries()) if (i > 0) expect(part.fromMs).toBe(all[i - 1]?.toMs);
      for (const { fromMs, toMs } of rest) expect(toMs - fromMs).toBeLessThan(2 * FOUR_DAYS_MS);
      const edges = [fourDays?.fromMs, fourDays?.toMs].filter((edge) => edge !== undefined && Number.isFinite(edge));
      for (const edge of edges) expect(Math.abs((edge ?? NaN) % FOUR_DAYS_MS)).toBe(0);
    }),
  );
});

test('while attempts are kept, times are what was asked for', () => {
  fc.assert(
    fc.property(time, time, mark, (from, length, hours) => {
      const found = parts(planReport({ fromMs: from, toMs: from + length + 1 }, { ...ALL, hours }, false));
      expect([found[0]?.fromMs, found.at(-1)?.toMs]).toEqual([from, from + length + 1]);
    }),
  );
});

test('nothing is read for a time that is none', () => {
  expect(planReport({ fromMs: DAY, toMs: DAY }, ALL, false)).toEqual({ days: undefined, hours: [], attempts: [] });
});

test('users are ranked by days that lie in the time as a whole, and by all that it touches', () => {
  fc.assert(
    fc.property(time, time, (from, length) => {
      const plan = planReport({ fromMs: from, toMs: from + length + 1 }, ALL, false);
      const asked = spanOf(plan);
      expect(asked).toEqual({ fromMs: from, toMs: from + length + 1 });
      if (plan.days === undefined || asked === undefined) return;
      const { whole, touched } = rankedWithin(plan.days, asked);
      if (whole.fromMs < whole.toMs) {
        expect(whole.fromMs).toBeGreaterThanOrEqual(plan.days.fromMs);
        expect(whole.toMs).toBeLessThanOrEqual(plan.days.toMs);
      }
      expect(touched.fromMs).toBeLessThanOrEqual(from);
      expect(touched.toMs).toBeGreaterThan(from + length);
      for (const { fromMs, toMs } of [whole, touched]) expect([fromMs % (4 * DAY), toMs % (4 * DAY)]).toEqual([0, 0]);
    }),
  );
});
