/**
 * Cuts the schemas that the gateway's answers are held against out of OpenAI's specification, and prints them as one
 * JSON Schema (2020-12):
 *
 *   node test/conformance/extract-openai-schemas.ts openapi.json > test/conformance/openai-schemas.json
 */
import { readFileSync } from 'node:fs';

const WANTED = [
  'CreateChatCompletionResponse',
  'CreateChatCompletionStreamResponse',
  'CreateEmbeddingResponse',
  'ListModelsResponse',
  'Model',
  'ErrorResponse',
];

const REFERENCE = '#/components/schemas/';
/** Words about a schema, and what JSON Schema does not know. `discriminator` only names the branch that `oneOf` finds. */
const DROPPED = new Set([
  'description',
  'title',
  'example',
  'examples',
  'default',
  'deprecated',
  'discriminator',
  'nullable',
  'externalDocs',
]);
/** Their keys are names of the API, not of JSON Schema. */
const NAMESPACES = new Set(['properties', 'patternProperties', '$defs']);

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
interface Specification {
  readonly info: { readonly version: string };
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

const [source] = process.argv.slice(2);
if (source === undefined) throw new Error('usage: extract-openai-schemas.ts <openapi.json>');
const specification = JSON.parse(readFileSync(source, 'utf8')) as Specification;

const defs: Record<string, Json> = {};
const queue = [...WANTED];
for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
  if (name in defs) continue;
  const schema = specification.components.schemas[name];
  if (schema === undefined) throw new Error(`the specification has no schema ${name}`);
  defs[name] = translate(schema);
}
const sorted = Object.fromEntries(Object.entries(defs).sort(([a], [b]) => (a < b ? -1 : 1)));
const comment = `OpenAI API ${specification.info.version}: written by extract-openai-schemas.ts`;
process.stdout.write(`${JSON.stringify({ $comment: comment, $defs: sorted }, null, 2)}\n`);

function translate(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(translate);
  if (typeof schema !== 'object' || schema === null) return schema;
  const out: Record<string, Json> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (DROPPED.has(key) || key.startsWith('x-')) continue;
    if (key === '$ref' && typeof value === 'string') out[key] = refer(value);
    else if (NAMESPACES.has(key)) out[key] = translateEach(value);
    else out[key] = translate(value);
  }
  // OpenAPI 3.0's way of saying it, which lives on here and there.
  return schema['nullable'] === true ? { anyOf: [out, { type: 'null' }] } : out;
}

function translateEach(schemas: Json): Json {
  if (typeof schemas !== 'object' || schemas === null || Array.isArray(schemas)) return schemas;
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, translate(schema)]));
}

function refer(reference: string): string {
  if (!reference.startsWith(REFERENCE)) throw new Error(`a reference out of the schemas: ${reference}`);
  const name = reference.slice(REFERENCE.length);
  queue.push(name);
  return `#/$defs/${name}`;
}
