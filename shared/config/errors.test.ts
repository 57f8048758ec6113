import { expect, test } from 'vitest';
import { ConfigError, formatPath, suggest } from './errors.ts';

test.each([
  { path: [], text: '' },
  { path: ['server', 'port'], text: 'server.port' },
  { path: ['auth', 'keys', 0, 'key'], text: 'auth.keys[0].key' },
  { path: ['providers', 'x', 'models', 'gpt-4.1', 'price'], text: 'providers.x.models["gpt-4.1"].price' },
])('$path is written "$text"', ({ path, text }) => {
  expect(formatPath(path)).toBe(text);
});

const KEYS = ['base_url', 'api_key', 'api_keys', 'models', 'concurrency', 'url', 'per'];

test.each([
  { word: 'base_ur', nearest: 'base_url' },
  { word: 'baseurl', nearest: 'base_url' },
  { word: 'API_KEY', nearest: 'api_key' },
  { word: 'apikeys', nearest: 'api_keys' },
  { word: 'modles', nearest: 'models' },
  { word: 'concurency', nearest: 'concurrency' },
  { word: 'rul', nearest: 'url' },
])('$word is probably $nearest', ({ word, nearest }) => {
  expect(suggest(word, KEYS)).toBe(`did you mean \`${nearest}\`?`);
});

test.each(['', 'zebra', 'colour', 'x', 'timeout'])('%j is like nothing known', (word) => {
  expect(suggest(word, KEYS)).toBeUndefined();
});

test('the message has one line for each problem, with its place', () => {
  const error = new ConfigError('sluice.yaml', [
    { path: 'server.prot', line: 7, message: 'unknown key `prot`', hint: 'did you mean `port`?' },
    { path: 'PORT', message: 'must be an integer from 0 to 65535' },
    { path: '', line: 1, message: 'not valid YAML' },
  ]);
  expect(error.message.split('\n')).toEqual([
    'sluice.yaml:7: server.prot: unknown key `prot` (did you mean `port`?)',
    'PORT: must be an integer from 0 to 65535',
    'sluice.yaml:1: not valid YAML',
  ]);
});
