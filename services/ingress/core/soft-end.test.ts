import { describe, expect, test } from 'vitest';
import type { OnBudgetEnd } from '../../../shared/messages/rules.ts';
import type { SpentBudget } from './scope-ruling.ts';
import type { SoftEnd } from './soft-end.ts';
import { softEndOf } from './soft-end.ts';

const over = (onLimit: OnBudgetEnd, untilEpochMs = Infinity): SpentBudget => ({
  item: { subject: 'total', terms: { id: 'b', name: 'b', scope: 'total', isHard: false, onLimit } },
  untilEpochMs,
});
const cheap: OnBudgetEnd = { kind: 'downgrade', to: 'cheap' };
const gone: OnBudgetEnd = { kind: 'downgrade', to: 'gone' };
const queue: OnBudgetEnd = { kind: 'queue' };
const queueFor = (forMs: number): OnBudgetEnd => ({ kind: 'queue', forMs });

/** It came at 1,000, it is 1,500, and it must be served by 10,000. */
const endOf = (...budgets: readonly SpentBudget[]): SoftEnd =>
  softEndOf({
    over: budgets,
    mayServeAs: (route) => route === 'cheap',
    ...{ sinceEpochMs: 1_000, nowEpochMs: 1_500, deadlineEpochMs: 10_000 },
  });
const serve: SoftEnd = { kind: 'serve' };
const waitUntil = (untilEpochMs: number): SoftEnd => ({ kind: 'wait', untilEpochMs });

describe('a request whose soft budget is over', () => {
  test.each<{ onLimit: OnBudgetEnd; turns?: number; end: SoftEnd; why: string }>([
    { onLimit: { kind: 'reject' }, end: serve, why: 'a soft budget refuses nobody' },
    { onLimit: cheap, end: cheap, why: 'the route is there' },
    { onLimit: cheap, turns: 1_501, end: cheap, why: 'the window has not turned yet' },
    { onLimit: cheap, turns: 1_500, end: serve, why: 'the window has turned' },
    { onLimit: gone, end: serve, why: 'the route is not there' },
    { onLimit: queue, turns: 9_999, end: waitUntil(9_999), why: 'the window turns in time' },
    { onLimit: queue, turns: 10_000, end: serve, why: 'the window turns too late: it is not kept waiting for nothing' },
    { onLimit: queue, end: serve, why: 'the window never turns' },
    { onLimit: queueFor(3_000), end: waitUntil(4_000), why: 'it waits for so long since it came' },
    { onLimit: queueFor(3_000), turns: 2_000, end: waitUntil(2_000), why: 'the window turns before' },
    { onLimit: queueFor(500), end: serve, why: 'it has waited' },
    { onLimit: queueFor(9_000), end: serve, why: 'no time would be left' },
  ])('$onLimit, window turns at $turns -> $end ($why)', ({ onLimit, turns, end }) => {
    expect(endOf(over(onLimit, turns))).toEqual(end);
  });
});

describe('of several that are over', () => {
  test.each<{ budgets: readonly SpentBudget[]; end: SoftEnd; why: string }>([
    { budgets: [over(queueFor(3_000)), over(cheap)], end: cheap, why: 'another route before a wait' },
    { budgets: [over(gone), over(cheap)], end: cheap, why: 'the first route that is there' },
    { budgets: [over(queueFor(1_000)), over(queueFor(3_000))], end: waitUntil(4_000), why: 'the longest wait' },
    {
      budgets: [over(queueFor(1_000)), over(queue)],
      end: waitUntil(2_000),
      why: 'one that would end too late is none',
    },
    {
      budgets: [over(cheap, 1_000), over(queueFor(3_000))],
      end: waitUntil(4_000),
      why: 'one that is over no more is none',
    },
  ])('$why', ({ budgets, end }) => {
    expect(endOf(...budgets)).toEqual(end);
  });
});
