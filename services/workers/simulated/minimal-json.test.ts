import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { minimalJson } from './minimal-json.ts';

const object = (properties: object, required: string[] = Object.keys(properties)): object => ({
  type: 'object',
  properties,
  required,
});

test.each([
  { schema: {}, json: '{}', why: 'no schema' },
  {
    schema: object({ a: { type: 'string' }, b: { type: 'string' } }, ['a']),
    json: '{"a":"simulated"}',
    why: 'required only',
  },
  {
    schema: object({ a: { type: 'string', minLength: 12 }, b: { type: 'string', maxLength: 3 } }),
    json: '{"a":"simulated...","b":"sim"}',
    why: 'lengths',
  },
  {
    schema: object({ a: { type: 'integer', minimum: 2 }, b: { type: 'number', maximum: -3 } }),
    json: '{"a":2,"b":-3}',
    why: 'bounds',
  },
  { schema: object({ a: { type: 'number', exclusiveMinimum: 0 } }), json: '{"a":1}', why: 'exclusive bounds' },
  {
    schema: object({ a: { enum: ['x', 'y'] }, b: { const: 7 }, c: { type: 'boolean' } }),
    json: '{"a":"x","b":7,"c":false}',
    why: 'given values',
  },
  {
    schema: object({ a: { type: 'array', items: { type: 'integer' }, minItems: 2 }, b: { type: 'array' } }),
    json: '{"a":[0,0],"b":[]}',
    why: 'arrays',
  },
  {
    schema: object({ a: { type: ['string', 'null'] }, b: { anyOf: [{ type: 'null' }] } }),
    json: '{"a":"simulated","b":null}',
    why: 'several types',
  },
  {
    schema: { ...object({ a: { $ref: '#/$defs/a' } }), $defs: { a: { type: 'boolean' } } },
    json: '{"a":false}',
    why: 'references',
  },
])('$why: $json', ({ schema, json }) => {
  expect(minimalJson(schema)).toBe(json);
  expect(new Ajv({ strict: false }).validate(schema, JSON.parse(json))).toBe(true);
});

test.each([
  { schema: object({ a: { $ref: '#' } }), why: 'a schema within itself' },
  { schema: object({ a: { type: 'array', minItems: 1e9 } }), why: 'a long array' },
  { schema: object({ a: { type: 'string', minLength: 1e9 } }), why: 'a long text' },
  { schema: object({ a: { $ref: 'https://example.com/schema' } }), why: 'a schema elsewhere' },
])('$why is not for us', ({ schema }) => {
  expect(minimalJson(schema)).toBeUndefined();
});
