import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { openApiDocument } from './openapi.ts';
import { OPERATION_IDS, operationOf } from './operations.ts';

interface Described {
  readonly operationId: string;
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly in: string; readonly schema: object }>;
  readonly responses: Readonly<Record<string, unknown>>;
}

const document = openApiDocument();
const paths = document['paths'] as Readonly<Record<string, Readonly<Record<string, Described>>>>;
const described = Object.values(paths).flatMap((path) => Object.values(path));
const { schemas } = document['components'] as { schemas: Readonly<Record<string, { examples?: unknown[] }>> };

test('the document keeps the schema of OpenAPI 3.1', async () => {
  // A copy: the validator resolves references in place.
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
});

test('it has every operation once, and each can fail', () => {
  expect(described.map(({ operationId }) => operationId).toSorted()).toEqual([...OPERATION_IDS].toSorted());
  for (const { responses } of described) expect(responses).toHaveProperty('default');
});

test('every reference leads to something', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1] ?? '');
  const target = (reference: string): unknown =>
    reference
      .split('/')
      .reduce<unknown>((part, name) => (part as Record<string, unknown> | undefined)?.[name], document);
  expect(references.length).toBeGreaterThan(10);
  expect(references.filter((reference) => target(reference) === undefined)).toEqual([]);
});

test.each(OPERATION_IDS)('%s describes each part of its path', (id) => {
  const { path, params } = operationOf(id);
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
  expect(Object.keys(params.shape)).toEqual(names);
});

describe('examples keep their schemas', () => {
  const examples = Object.entries(schemas).flatMap(([name, { examples: all = [] }]) =>
    all.map((example) => ({ name, example })),
  );
  test.each(examples)('$name: $example', ({ name, example }) => {
    const ajv = new Ajv2020({ strict: false, formats: { email: true, uri: true, 'date-time': true } });
    ajv.addSchema({ $id: 'api', ...document });
    expect(ajv.validate(`api#/components/schemas/${name}`, example), ajv.errorsText()).toBe(true);
  });
});
