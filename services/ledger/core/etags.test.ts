import { expect, test } from 'vitest';
import { isKnown, matches } from './etags.ts';

test.each([
  { header: undefined, isMatch: true, known: false },
  { header: '"3"', isMatch: true, known: true },
  { header: '"2"', isMatch: false, known: false },
  { header: '3', isMatch: false, known: false },
  { header: '"1", "3"', isMatch: true, known: true },
  { header: '*', isMatch: true, known: true },
  { header: 'W/"3"', isMatch: false, known: true },
])('$header names version 3: to change it $isMatch, to know it $known', ({ header, isMatch, known }) => {
  expect([matches(header, 3n), isKnown(header, 3n)]).toEqual([isMatch, known]);
});
