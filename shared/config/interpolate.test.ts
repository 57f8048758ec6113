import { expect, test } from 'vitest';
import { interpolate } from './interpolate.ts';

const sources = {
  env: { NAME: 'ada', EMPTY: '', TRICKY: '${NAME} $& $1' },
  readFile: (path: string) => {
    if (path === '/run/secrets/x') return 's3cret\n';
    throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
  },
};

test.each([
  { text: 'plain', result: 'plain' },
  { text: '${NAME}', result: 'ada' },
  { text: 'a-${NAME}-${NAME}', result: 'a-ada-ada' },
  { text: '${MISSING:-fallback}', result: 'fallback' },
  { text: '${MISSING:-}', result: '' },
  { text: '${EMPTY:-fallback}', result: 'fallback' },
  { text: '${EMPTY}', result: '' },
  { text: '${NAME:-fallback}', result: 'ada' },
  { text: '${MISSING:-a:-b}', result: 'a:-b' },
  { text: '${file:/run/secrets/x}', result: 's3cret' },
  { text: '$${NAME}', result: '${NAME}' },
  { text: '$NAME {NAME} $5', result: '$NAME {NAME} $5' },
  { text: '${TRICKY}', result: '${NAME} $& $1' },
])('$text -> $result', ({ text, result }) => {
  expect(interpolate(text, sources)).toEqual({ text: result, problems: [] });
});

test.each([
  { text: '${MISSING}', problem: 'the environment variable MISSING is not set' },
  { text: '${file:/nope}', problem: 'cannot read the file /nope: ENOENT' },
  { text: '${NAME', problem: '"${NAME…" has no closing brace' },
  { text: '${A:-${B}}', problem: '"${A…": a default cannot contain another reference' },
  { text: '${}', problem: '"${…" is neither ${NAME}, ${NAME:-default} nor ${file:/path}' },
  { text: '${KEY:sk-hidden}', problem: '"${KEY…" is neither ${NAME}, ${NAME:-default} nor ${file:/path}' },
  { text: '${1A}', problem: '"${1A…" is neither ${NAME}, ${NAME:-default} nor ${file:/path}' },
])('$text: $problem', ({ text, problem }) => {
  expect(interpolate(text, sources).problems).toEqual([problem]);
});

test('every reference of a text is reported', () => {
  expect(interpolate('${A}${B}', sources).problems).toHaveLength(2);
});
