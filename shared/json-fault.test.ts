import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findJsonFault } from './json-fault.ts';

const faultOf = (text: string): string => {
  const fault = findJsonFault(Buffer.from(text));
  return fault === undefined ? 'none' : `${fault.line}:${fault.column}`;
};

describe('where a text stops being JSON', () => {
  test.each([
    { text: '', at: '1:1' },
    { text: '  \n ', at: '2:2' },
    { text: 'hello', at: '1:1' },
    { text: 'truth', at: '1:4' },
    { text: 'nul', at: '1:4' },
    { text: 'nul0', at: '1:4' },
    { text: '{"a":1,}', at: '1:8' },
    { text: '{"a":1', at: '1:7' },
    { text: '{"a" 1}', at: '1:6' },
    { text: '{a:1}', at: '1:2' },
    { text: "{'a':1}", at: '1:2' },
    { text: '{"a":1]', at: '1:7' },
    { text: '[1 2]', at: '1:4' },
    { text: '[1,,2]', at: '1:4' },
    { text: '[]]', at: '1:3' },
    { text: '{} {}', at: '1:4' },
    { text: '01', at: '1:2' },
    { text: '1.', at: '1:3' },
    { text: '[1.e5]', at: '1:4' },
    { text: '[-]', at: '1:3' },
    { text: '[1e+]', at: '1:5' },
    { text: 'NaN', at: '1:1' },
    { text: '"a\nb"', at: '1:3' },
    { text: '"a\tb"', at: '1:3' },
    { text: '"\\x"', at: '1:3' },
    { text: '"\\u12g4"', at: '1:6' },
    { text: '"open', at: '1:6' },
    { text: '{\n  "é😀": x}', at: '2:9' },
    { text: '\u00a01', at: '1:1' },
    { text: '[1, // one\n2]', at: '1:5' },
  ])('$text -> $at', ({ text, at }) => {
    expect(faultOf(text)).toBe(at);
  });

  test('depth costs no stack', () => {
    expect(faultOf('['.repeat(1_000_000))).toBe('1:1000001');
  });

  test('valid JSON has none, and whatever JSON.parse refuses has one', () => {
    const mutated = fc
      .tuple(fc.json(), fc.nat(), fc.constantFrom('', ',', '"', '}', ']', '\\', '0', '-', 'e', '\u0001', ':', 'true'))
      .map(([json, n, piece]) => {
        const at = n % (json.length + 1);
        return json.slice(0, at) + piece + json.slice(at + (n % 2));
      });
    fc.assert(
      fc.property(fc.oneof(fc.json(), mutated), (text) => {
        const isValid = parses(text);
        expect(findJsonFault(Buffer.from(text)) === undefined).toBe(isValid);
      }),
      { numRuns: 2_000 },
    );
  });
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
