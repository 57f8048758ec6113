import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { chargesOf, sumUp } from './charges.ts';
import { partOf } from './rolling.ts';
import type { LiveBudget } from './targets.ts';
import { TargetFinder } from './targets.ts';

const MIDNIGHT = Date.UTC(2026, 10, 20);
const BUDGETS: readonly LiveBudget[] = [
  { id: 'all', scope: 'total', per: 'total', timeZone: 'UTC', rollingMs: null },
  { id: 'daily', scope: 'user:*', per: 'day', timeZone: 'UTC', rollingMs: null },
  { id: 'rolling', scope: 'team:t', per: 'rolling', timeZone: 'UTC', rollingMs: 61_001 },
];

describe('a payer', () => {
  const payersOf = (events: readonly UsageRecorded[]) => new Set(chargesOf(events).map(({ payer }) => payer));

  test('is one for all that is charged to the same scopes, from the same leases', () => {
    const alike = { team: 't', user: 'ada', tags: { a: '1', b: '2' }, leases: ['l', 'm'], costNanoUsd: 1 };
    const events = [usageEvent(alike), usageEvent({ ...alike, costNanoUsd: 2, inputTokens: 7 })];
    const [payer, ...others] = payersOf(events);
    expect(others).toEqual([]);
    expect(payer?.scopes).toEqual(expect.arrayContaining(['total', 'team:t', 'user:ada', 'tag:a=1', 'tag:b=2']));
    expect(payer?.leases).toEqual(['l', 'm']);
  });

  test.each<{ what: string; one: Partial<UsageRecorded>; other: Partial<UsageRecorded> }>([
    { what: 'user', one: { user: 'ada' }, other: { user: 'bob' } },
    { what: 'user, where one has none', one: { user: 'null' }, other: {} },
    { what: 'team and user, by their places', one: { team: 'a', user: 'b' }, other: { team: 'b', user: 'a' } },
    { what: 'tags', one: { tags: { a: '1' } }, other: { tags: { a: '2' } } },
    { what: 'leases', one: { leases: ['l'] }, other: { leases: ['l', 'm'] } },
    { what: 'tags and leases', one: { tags: { a: 'b' } }, other: { leases: ['a', 'b'] } },
    { what: 'ingress', one: { ingress: 'i' }, other: { ingress: 'j' } },
    { what: 'model as it was admitted', one: { modelScope: 'a/m' }, other: { modelScope: 'b/m' } },
    { what: 'route as it was admitted', one: { routeScope: null }, other: { routeScope: 'r' } },
  ])('is another for another $what', ({ one, other }) => {
    const events = [usageEvent({ costNanoUsd: 1, ...one }), usageEvent({ costNanoUsd: 1, ...other })];
    expect(payersOf(events).size).toBe(2);
  });

  test('pays for nothing that costs nothing', () => {
    expect(chargesOf([usageEvent({ costNanoUsd: 0 }), usageEvent({ costNanoUsd: null })])).toEqual([]);
  });
});

test('sums are those of the charges, in each window and part, what makes cheaper apart', () => {
  const charge = fc.record({
    user: fc.constantFrom('ada', 'bob'),
    team: fc.constantFrom('t', 'u'),
    // Around a midnight, and over several parts of the budget that rolls.
    startedEpochMs: fc.integer({ min: MIDNIGHT - 3_000, max: MIDNIGHT + 3_000 }),
    costNanoUsd: fc.integer({ min: -3, max: 9 }),
  });
  fc.assert(
    fc.property(fc.array(charge), (fields) => {
      const charges = chargesOf(fields.map((field) => usageEvent({ ...field, admittedEpochMs: field.startedEpochMs })));
      const finder = new TargetFinder(BUDGETS);
      const windowsOf = ({ scopes }: { scopes: readonly string[] }, epochMs: number) =>
        finder.windowsOf(scopes, epochMs, []);
      const total = (items: Iterable<{ payer: { scopes: readonly string[] }; epochMs: number; cost: bigint }>) => {
        const totals = new Map<string, bigint>();
        for (const { payer, epochMs, cost } of items) {
          for (const { name, rollingMs } of windowsOf(payer, epochMs)) {
            const part = rollingMs === null ? '' : partOf(rollingMs, epochMs);
            const key = `${name} ${part} ${cost < 0n}`;
            totals.set(key, (totals.get(key) ?? 0n) + cost);
          }
        }
        return Object.fromEntries([...totals].sort());
      };
      const sums = sumUp(charges, windowsOf);
      expect(total(sums)).toEqual(total(charges.map((each) => ({ ...each, cost: each.costNanoUsd }))));
      for (const { payer, windows, epochMs } of sums) expect(windows).toEqual(windowsOf(payer, epochMs));
    }),
  );
});

test('a thousand charges of one payer within a window are one sum', () => {
  const events = Array.from({ length: 1_000 }, (_, i) =>
    usageEvent({ user: 'ada', costNanoUsd: 2, admittedEpochMs: MIDNIGHT + i }),
  );
  const finder = new TargetFinder(BUDGETS);
  const sums = sumUp(chargesOf(events), ({ scopes }, epochMs) => finder.windowsOf(scopes, epochMs, []));
  expect(sums.map(({ cost }) => cost)).toEqual([2_000n]);
});
