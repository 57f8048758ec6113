import { expect, test } from 'vitest';
import { pageOf, readCursor } from './page.ts';

const show = (id: string): object => ({ id });
const keyOf = (id: string): string => id;

test('the last page says that it is', () => {
  expect(pageOf(['a', 'b'], 2, show, keyOf)).toEqual({
    object: 'list',
    data: [{ id: 'a' }, { id: 'b' }],
    has_more: false,
  });
  expect(pageOf([], 2, show, keyOf)).toEqual({ object: 'list', data: [], has_more: false });
});

test('the cursor of a page leads behind its last thing', () => {
  const page = pageOf(['a', 'ü/ 2', 'c'], 2, show, keyOf);
  expect(page).toMatchObject({ has_more: true, data: [{ id: 'a' }, { id: 'ü/ 2' }] });
  expect(readCursor(page.next_cursor)).toBe('ü/ 2');
});

test('a page of large things ends early, and goes on behind them', () => {
  const large = (id: string): object => ({ id, text: 'x'.repeat(300_000) });
  const page = pageOf(['a', 'b', 'c'], 3, large, keyOf);
  expect(page.data).toHaveLength(1);
  expect(readCursor(page.next_cursor)).toBe('a');
});
