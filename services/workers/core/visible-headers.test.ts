import { expect, test } from 'vitest';
import { visibleHeaders } from './visible-headers.ts';

test.each([
  { name: 'x-request-id', shown: 'x-upstream-request-id' },
  { name: 'openai-processing-ms', shown: 'x-upstream-processing-ms' },
  { name: 'openai-version', shown: 'x-upstream-openai-version' },
  { name: 'x-ratelimit-remaining-tokens', shown: 'x-upstream-ratelimit-remaining-tokens' },
  { name: 'set-cookie', shown: undefined },
  { name: 'openai-organization', shown: undefined },
  { name: 'server', shown: undefined },
  { name: 'content-length', shown: undefined },
  { name: 'x-ratelimit', shown: undefined },
])('$name is shown as $shown', ({ name, shown }) => {
  expect(visibleHeaders({ [name]: 'v' })).toEqual(shown === undefined ? {} : { [shown]: 'v' });
});

test('what is repeated, long or beyond the 24th is left out', () => {
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-ratelimit-${i}`, 'v']));
  expect(Object.keys(visibleHeaders(many))).toHaveLength(24);
  expect(visibleHeaders({ 'x-request-id': ['a', 'b'], 'openai-version': 'v'.repeat(257) })).toEqual({});
});
