import { expect, test } from 'vitest';
import { parseConfigDocument } from './document.ts';

const TEXT = `# a comment
server:
  port: 8080
  "host": here

list:
  - first
  - { name: second,
      key: third }
base: &base
  a: 1
copy: *base
`;

test.each([
  { path: ['server'], line: 2 },
  { path: ['server', 'port'], line: 3 },
  { path: ['server', 'host'], line: 4 },
  { path: ['server', 'missing'], line: 2 },
  { path: ['server', 'port', 'deeper'], line: 3 },
  { path: ['list', 0], line: 7 },
  { path: ['list', 1, 'key'], line: 9 },
  { path: ['list', 7], line: 6 },
  { path: ['copy', 'a'], line: 11 },
  { path: ['nothing'], line: undefined },
  { path: [], line: undefined },
])('$path is on line $line', ({ path, line }) => {
  expect(parseConfigDocument(TEXT).lineOf(path)).toBe(line);
});

test.each([
  { text: 'a: 1\na: 2', line: 2, message: 'not valid YAML: Map keys must be unique' },
  { text: 'x: 1\n\tb: 2', line: 2, message: 'not valid YAML: Tabs are not allowed as indentation' },
  {
    text: 'a: *nobody',
    line: 1,
    message: 'not valid YAML: an alias (*name) has no anchor (&name) before it, refers to itself, or is used too often',
  },
  {
    text: 'a: &a [*a]',
    line: 1,
    message: 'not valid YAML: an alias (*name) has no anchor (&name) before it, refers to itself, or is used too often',
  },
])('$text: $message', ({ text, line, message }) => {
  expect(parseConfigDocument(text).syntaxErrors).toEqual([{ line, message }]);
});

test('two documents in one file are refused', () => {
  expect(parseConfigDocument('a: 1\n---\nb: 2').syntaxErrors).toHaveLength(1);
});

test('a reference without quotes inside of braces gets the hint it needs', () => {
  expect(parseConfigDocument('a: 1\nserver: { port: ${PORT} }').syntaxErrors).toEqual([
    expect.objectContaining({ line: 2, hint: 'write "${NAME}" in quotes where it stands inside of { } or [ ]' }),
  ]);
});

test('text at fault is not repeated: it may be a secret', () => {
  const { syntaxErrors } = parseConfigDocument('api_key: "abc" "sk-hidden"\n');
  expect(JSON.stringify(syntaxErrors)).not.toContain('sk-hidden');
  expect(syntaxErrors).toHaveLength(1);
});

test('an empty file is a document without a value', () => {
  expect(parseConfigDocument('# nothing\n')).toMatchObject({ value: null, syntaxErrors: [] });
});
