import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DuplicateKey, locateOne, locateTopLevel } from './json-locate.ts';

const value = fc.jsonValue({ maxDepth: 4 });
const noise = fc.dictionary(fc.string(), value, { maxKeys: 5 }).map(({ model: _, ...rest }) => rest);

test('the range holds exactly the value, wherever the key stands and whatever surrounds it', () => {
  fc.assert(
    fc.property(noise, noise, value, fc.constantFrom(undefined, 1, '\t'), (before, after, model, indent) => {
      const object = { ...before, model, ...after };
      const bytes = Buffer.from(JSON.stringify(object, null, indent));
      for (const range of [locateTopLevel(bytes, ['model']).get('model'), locateOne(bytes, 'model', true)]) {
        expect(range).toBeDefined();
        const [start, end] = range ?? [0, 0];
        expect(JSON.parse(bytes.subarray(start, end).toString())).toEqual(JSON.parse(JSON.stringify(model)));
        const edited = Buffer.concat([bytes.subarray(0, start), Buffer.from('"new"'), bytes.subarray(end)]);
        expect(JSON.parse(edited.toString())).toEqual({
          ...(JSON.parse(JSON.stringify(object)) as object),
          model: 'new',
        });
      }
    }),
  );
});

test.each([
  { json: '{"messages":[{"model":"inner"}],"model":"outer"}', why: 'the same key deeper' },
  { json: String.raw`{"text":"say \"model\": \"x\"","model":"outer"}`, why: 'the key inside a text' },
  { json: '{"role":"model", "model" : "outer"}', why: 'the key as a value' },
  { json: String.raw`{"\u006dodel":"outer","x":{"model":"inner"}}`, why: 'the key written with an escape' },
  { json: String.raw`{"a":"\\","b":"\\\"","model":"outer"}`, why: 'backslashes before quotes' },
])('$why', ({ json }) => {
  const bytes = Buffer.from(json);
  const range = locateOne(bytes, 'model', true);
  expect(bytes.subarray(range?.[0], range?.[1]).toString()).toBe('"outer"');
});

test('a key that stands twice is refused', () => {
  expect(() => locateOne(Buffer.from('{"model":"a","model":"b"}'), 'model', true)).toThrow(DuplicateKey);
  expect(() => locateOne(Buffer.from(String.raw`{"model":"a","\u006dodel":"b"}`), 'model', true)).toThrow(DuplicateKey);
});
