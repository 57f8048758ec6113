import { expect, test } from 'vitest';
import { TargetFinder } from './targets.ts';

const budget = (id: string, scope: string, per: 'day' | 'total' = 'total') => {
  return { id, scope, per, timeZone: 'UTC', rollingMs: null };
};
const noon = Date.UTC(2026, 10, 20, 12);

test('a budget is found by its scope and by its pattern, for the scope itself', () => {
  const finder = new TargetFinder([
    budget('1', 'total'),
    budget('2', 'user:*'),
    budget('3', 'user:ada'),
    budget('4', 'user:bob'),
    budget('5', 'team:*'),
  ]);
  const found = finder.windowsOf(['total', 'user:ada', 'key:k'], noon, []);
  expect(found.map(({ budgetId, subject }) => [budgetId, subject])).toEqual([
    ['1', 'total'],
    ['3', 'user:ada'],
    ['2', 'user:ada'],
  ]);
});

test('the window is that of the moment, or the one it was reserved in', () => {
  const finder = new TargetFinder([budget('1', 'total', 'day'), budget('2', 'user:*', 'day')]);
  const yesterday = Date.UTC(2026, 10, 19);
  const reserved = [{ budgetId: '2', subject: 'user:ada', startsAt: yesterday }];
  const found = finder.windowsOf(['total', 'user:ada'], noon, reserved);
  expect(found.map(({ startsAt }) => startsAt)).toEqual([Date.UTC(2026, 10, 20), yesterday]);
  finder.windowsOf(['total'], noon + 1, []);
  expect(finder.found).toHaveLength(2);
});
