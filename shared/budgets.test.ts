import { expect, test } from 'vitest';
import { isTimeZone } from './budgets.ts';

test.each([
  ['UTC', true],
  ['Europe/Berlin', true],
  ['+02:00', true],
  ['Mars/Olympus', false],
  ['', false],
])('the time zone %j: %s', (zone, isOne) => {
  expect(isTimeZone(zone)).toBe(isOne);
});
