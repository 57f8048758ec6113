import { expect, test } from 'vitest';
import { KeyCache } from './key-cache.ts';

test('the tokens of a key are forgotten by its id, those of others stay', () => {
  const cache = new KeyCache<string>(10);
  cache.set('new', 'key_1', 'a', 1);
  cache.set('old', 'key_1', 'b', 2);
  cache.set('other', 'key_2', 'c', 3);
  cache.set('none', undefined, 'd', 4);
  cache.forgetKey('key_1');
  cache.forgetKey('key_1');
  expect(['new', 'old', 'other', 'none'].map((digest) => cache.get(digest)?.value)).toEqual([
    undefined,
    undefined,
    'c',
    'd',
  ]);
});

test('a token that another key has by now is forgotten with that one', () => {
  const cache = new KeyCache<string>(10);
  cache.set('token', 'key_1', 'a', 1);
  cache.set('token', 'key_2', 'b', 2);
  cache.forgetKey('key_1');
  expect(cache.get('token')).toMatchObject({ value: 'b', at: 2 });
  cache.forgetKey('key_2');
  expect(cache.get('token')).toBeUndefined();
});

test('at the bound the oldest goes', () => {
  const cache = new KeyCache<number>(2);
  cache.set('a', 'key_1', 1, 1);
  cache.set('b', 'key_1', 2, 2);
  cache.set('a', 'key_1', 3, 3);
  cache.set('c', 'key_1', 4, 4);
  expect(['a', 'b', 'c'].map((digest) => cache.get(digest)?.value)).toEqual([3, undefined, 4]);
});
