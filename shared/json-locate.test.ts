import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DuplicateKey, locateMember, locateOne, locateTopLevel } from './json-locate.ts';

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

const space = fc.constantFrom('', ' ', '\n', '\t\r\n  ');
const keys = fc.constantFrom('"model"', String.raw`"mod\u0065l"`, String.raw`"\u006d\u006F\u0064\u0065\u006c"`);

test('without a member, its comma included, the rest is the same object, byte for byte', () => {
  fc.assert(
    fc.property(
      noise,
      noise,
      value,
      keys,
      fc.array(space, { minLength: 6, maxLength: 6 }),
      (before, after, model, key, spaces) => {
        const [a, b, c, d, e, f] = spaces as [string, string, string, string, string, string];
        const write = ([name, held]: [string, unknown]): string =>
          `${b}${JSON.stringify(name)}${c}:${d}${JSON.stringify(held)}${e}`;
        const taken = new Set(Object.keys(before));
        const others = [Object.entries(before), Object.entries(after).filter(([name]) => !taken.has(name))].map((all) =>
          all.map(write),
        );
        const [first = [], last = []] = others;
        const member = `${b}${key}${c}:${d}${JSON.stringify(model)}${e}`;
        const text = `${a}{${[...first, member, ...last].join(',')}}${f}`;
        const bytes = Buffer.from(text);
        const [from, to] = locateMember(bytes, 'model', true) as [number, number];
        const rest = Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]).toString();
        const without = `${a}{${[...first, ...last].join(',')}}${f}`;
        expect(rest.replaceAll(/\s/g, '')).toBe(without.replaceAll(/\s/g, ''));
        expect(JSON.parse(rest)).toEqual(JSON.parse(without));
      },
    ),
  );
});

test.each([
  { json: '{"model":{}}', rest: '{}', why: 'the only one' },
  { json: '{"model":{},"a":1}', rest: '{"a":1}', why: 'the first' },
  { json: '{"a":1,"model":{}}', rest: '{"a":1}', why: 'the last' },
  { json: '{ "a" : 1 , "model" : null , "b" : 2 }', rest: '{ "a" : 1 ,  "b" : 2 }', why: 'one between others' },
  { json: '{"a":"\\",\\"model\\":1","model":1}', rest: '{"a":"\\",\\"model\\":1"}', why: 'one that a text looks like' },
])('a member that is $why', ({ json, rest }) => {
  const bytes = Buffer.from(json);
  const [from, to] = locateMember(bytes, 'model', true) as [number, number];
  expect(json.slice(0, from) + json.slice(to)).toBe(rest);
});

test('a member that is not there is nowhere', () => {
  expect(locateMember(Buffer.from('{"a":{"model":1}}'), 'model', false)).toBeUndefined();
});
