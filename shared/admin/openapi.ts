import { z } from 'zod';
import type { Operation } from './operation.ts';
import type { OperationId } from './operations.ts';
import { OPERATION_IDS, operationOf } from './operations.ts';

type Json = Readonly<Record<string, unknown>>;

const VERSION = '1.0.0';
const SCHEMAS = '#/components/schemas/';

/** The OpenAPI 3.1 document of the admin API, made from the schemas by which requests are checked. */
export function openApiDocument(): Json {
  const schemas: Record<string, Json> = { Error: ERROR };
  const paths: Record<string, Record<string, Json>> = {};
  for (const id of OPERATION_IDS) {
    const operation = operationOf(id);
    const path = (paths[`/admin/v1${operation.path}`] ??= {});
    path[operation.method.toLowerCase()] = described(id, operation, schemas);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sluice admin API',
      version: VERSION,
      description: 'Principals, keys, limits, budgets, usage and the audit trail of a Sluice gateway.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }, { apiKey: [] }],
    tags: [...new Set(OPERATION_IDS.map((id) => operationOf(id).tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A key with a role, or a token of OIDC that has one.' },
        apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
      responses: { Failure: failure() },
    },
  };
}

function described(id: OperationId, operation: Operation, schemas: Record<string, Json>): Json {
  const { summary, tag, roles, body, method, path } = operation;
  return {
    operationId: id,
    summary,
    description: `For the roles ${roles.join(', ')}.${ownTeam(operation)}`,
    tags: [tag],
    'x-roles': [...roles],
    parameters: [
      ...parametersOf(operation.params, 'path', schemas),
      ...parametersOf(operation.query, 'query', schemas),
      ...headersOf(operation),
    ],
    ...(body !== null && {
      requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body, 'input', schemas) } } },
    }),
    responses: {
      [operation.status]: success(operation, schemas),
      ...(method === 'GET' && isVersioned(path) && { 304: { description: 'As `If-None-Match` has it: nothing new.' } }),
      default: { $ref: '#/components/responses/Failure' },
    },
  };
}

/** Whether what is at this path has an ETag: what is read there has a version. */
function isVersioned(path: string): boolean {
  return OPERATION_IDS.map(operationOf).some(
    ({ path: other, method, response }) =>
      other === path && method === 'GET' && response instanceof z.ZodObject && 'version' in response.shape,
  );
}

function ownTeam({ roles }: Operation): string {
  return roles.includes('team_admin') ? ' A team_admin sees and changes what is of its own team.' : '';
}

function parametersOf(shape: z.ZodObject, where: 'path' | 'query', schemas: Record<string, Json>): Json[] {
  return Object.entries(shape.shape).map(([name, field]) => {
    // What a number is read from is a text like all of a query; what is meant is the number.
    const { description, ...schema } = schemaOf(field as z.ZodType, 'output', schemas);
    return {
      ...{ name, in: where, required: where === 'path', schema },
      ...(description !== undefined && { description }),
    };
  });
}

function headersOf({ method, path }: Operation): Json[] {
  const header = (name: string, description: string): Json => ({
    ...{ name, in: 'header', required: false, description },
    schema: { type: 'string' },
  });
  if (method === 'POST') return [header('idempotency-key', 'The same key and request: done once, answered again.')];
  if (!isVersioned(path)) return [];
  if (method === 'GET') return [header('if-none-match', 'The ETag that is known already.')];
  return [header('if-match', 'The ETag that was seen; of an older one: 412.')];
}

function success(operation: Operation, schemas: Record<string, Json>): Json {
  const { response, contentTypes, summary } = operation;
  const types = contentTypes === undefined ? ['application/json'] : Object.values(contentTypes);
  // As input: what a later version adds to an answer breaks nobody.
  const schema = schemaOf(response, 'input', schemas);
  const hasTag = response instanceof z.ZodObject && 'version' in response.shape;
  return {
    description: summary,
    ...(hasTag && { headers: { etag: { schema: { type: 'string' }, description: 'Its version, in quotes.' } } }),
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  };
}

/** A schema in place; those with a name of their own go to the components, and are referred to. */
function schemaOf(type: z.ZodType, io: 'input' | 'output', schemas: Record<string, Json>): Json {
  const {
    $schema: _,
    $defs = {},
    ...schema
  } = z.toJSONSchema(type, { io, unrepresentable: 'any' }) as Json & {
    $defs?: Record<string, Json>;
  };
  for (const [name, part] of Object.entries($defs)) schemas[name] = referring(part) as Json;
  return referring(schema) as Json;
}

function referring(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(referring);
  if (typeof part !== 'object' || part === null) return part;
  return Object.fromEntries(
    Object.entries(part).map(([name, value]: [string, unknown]) =>
      name === '$ref' && typeof value === 'string'
        ? [name, value.replace('#/$defs/', SCHEMAS)]
        : [name, referring(value)],
    ),
  );
}

const ERROR: Json = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['message', 'type', 'param', 'code'],
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: ['string', 'null'], description: 'The first field at fault.' },
        code: { type: 'string' },
        errors: {
          type: 'array',
          description: 'Every field at fault.',
          items: {
            type: 'object',
            required: ['param', 'message'],
            properties: { param: { type: 'string' }, message: { type: 'string' } },
          },
        },
      },
    },
  },
};

function failure(): Json {
  const fault = { param: 'id', message: 'It is missing.' };
  const example = {
    error: {
      message: '`id`: It is missing.',
      ...{ type: 'invalid_request_error', param: 'id', code: 'invalid_request' },
      errors: [fault],
    },
  };
  return {
    description: 'It was refused, or failed; nothing was changed. `code` says why.',
    content: { 'application/json': { schema: { $ref: `${SCHEMAS}Error` }, example } },
  };
}
