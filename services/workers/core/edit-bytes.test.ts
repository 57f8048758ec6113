import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Edit } from './edit-bytes.ts';
import { editBytes, textOf } from './edit-bytes.ts';

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));

test('edits of a body in parts are those of the whole body', () => {
  fc.assert(
    fc.property(
      fc.array(bytes, { maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      bytes,
      (parts, places, text) => {
        const whole = Buffer.concat(parts);
        const points = places.map((place) => place % (whole.length + 1)).sort((a, b) => a - b);
        const edits: Edit[] = [];
        for (let i = 0; i + 1 < points.length; i += 2) {
          edits.push({ at: [points[i] as number, points[i + 1] as number], bytes: text.subarray(0, i + 1) });
        }
        const expected: Buffer[] = [];
        let from = 0;
        for (const { at, bytes: put } of edits) {
          expected.push(whole.subarray(from, at[0]), put);
          from = at[1];
        }
        expected.push(whole.subarray(from));
        expect(Buffer.concat(editBytes(parts, edits.toReversed().toReversed()))).toEqual(Buffer.concat(expected));
      },
    ),
  );
});

test('in whatever order the edits are named', () => {
  const parts = [Buffer.from('abc'), Buffer.from('def')];
  const edits: Edit[] = [
    { at: [4, 6], bytes: Buffer.from('X') },
    { at: [0, 1], bytes: Buffer.from('Y') },
    { at: [2, 2], bytes: Buffer.from('Z') },
  ];
  expect(Buffer.concat(editBytes(parts, edits)).toString()).toBe('YbZcdX');
});

test('what is inserted where another range goes stays before it', () => {
  const edits: Edit[] = [
    { at: [1, 3], bytes: Buffer.alloc(0) },
    { at: [1, 1], bytes: Buffer.from('!') },
  ];
  for (const order of [edits, edits.toReversed()])
    expect(Buffer.concat(editBytes([Buffer.from('abcdef')], order)).toString()).toBe('a!def');
});

test('nothing is left of what was removed, not even an empty part', () => {
  expect(editBytes([Buffer.from('abc')], [{ at: [0, 2], bytes: Buffer.alloc(0) }])).toEqual([Buffer.from('c')]);
});

test('what stays is not copied', () => {
  const part = Buffer.from('abcdef');
  const [first, put, last] = editBytes([part], [{ at: [2, 3], bytes: Buffer.from('!') }]);
  expect(first?.buffer).toBe(part.buffer);
  expect(last?.buffer).toBe(part.buffer);
  expect(put?.toString()).toBe('!');
});

test('a range is read as text across parts, also through a character', () => {
  const text = '{"a":"ü😀"}';
  const whole = Buffer.from(text);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: whole.length }), (size) => {
      const parts = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
        whole.subarray(i * size, (i + 1) * size),
      );
      expect(textOf(parts, [5, whole.length - 1])).toBe('"ü😀"');
    }),
  );
});
