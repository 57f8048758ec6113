type Schema = Readonly<Record<string, unknown>>;

/** Beyond these the schema is not for us: a schema that refers to itself twice would grow without end. */
const MAX_DEPTH = 8;
const MAX_NODES = 500;
const MAX_ITEMS = 16;
const MAX_STRING = 256;

const FORMATS: Readonly<Record<string, string>> = {
  date: '2026-01-01',
  time: '00:00:00Z',
  'date-time': '2026-01-01T00:00:00Z',
  email: 'simulated@example.com',
  uri: 'https://example.com/simulated',
  uuid: '00000000-0000-4000-8000-000000000000',
};

class TooLarge extends Error {}

/** The least that a JSON schema accepts, as JSON; undefined when that is not small. Patterns are not looked at. */
export function minimalJson(schema: unknown): string | undefined {
  try {
    return JSON.stringify(new Sample(schema).of(schema, 0));
  } catch (failure) {
    if (failure instanceof TooLarge) return undefined;
    throw failure;
  }
}

class Sample {
  readonly #root: unknown;
  #nodes = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  of(schema: unknown, depth: number): unknown {
    if (depth > MAX_DEPTH || ++this.#nodes > MAX_NODES) throw new TooLarge();
    if (!isSchema(schema)) return {};
    if (Object.hasOwn(schema, 'const')) return schema['const'];
    const { enum: values, $ref: reference, anyOf, oneOf, allOf } = schema;
    if (Array.isArray(values)) return values[0];
    if (typeof reference === 'string') return this.of(this.#resolve(reference), depth + 1);
    for (const variants of [anyOf, oneOf, allOf]) {
      if (Array.isArray(variants) && variants.length > 0) return this.of(variants[0], depth + 1);
    }
    return this.#ofType(schema, depth);
  }

  #ofType(schema: Schema, depth: number): unknown {
    const type: unknown = Array.isArray(schema['type']) ? schema['type'][0] : schema['type'];
    switch (type) {
      case 'string':
        return sampleString(schema);
      case 'integer':
      case 'number':
        return sampleNumber(schema);
      case 'boolean':
        return false;
      case 'null':
        return null;
      case 'array':
        return this.#array(schema, depth);
      default:
        return this.#object(schema, depth);
    }
  }

  #array(schema: Schema, depth: number): unknown[] {
    const length = numberOf(schema['minItems']) ?? 0;
    if (length > MAX_ITEMS) throw new TooLarge();
    return Array.from({ length }, () => this.of(schema['items'], depth + 1));
  }

  #object(schema: Schema, depth: number): object {
    const required: unknown[] = Array.isArray(schema['required']) ? schema['required'] : [];
    const properties = isSchema(schema['properties']) ? schema['properties'] : {};
    const names = required.filter((name) => typeof name === 'string');
    return Object.fromEntries(
      names.map((name) => [name, this.of(Object.hasOwn(properties, name) ? properties[name] : {}, depth + 1)]),
    );
  }

  /** Only within the schema: `#/$defs/address`. */
  #resolve(reference: string): unknown {
    if (!reference.startsWith('#')) throw new TooLarge();
    let at: unknown = this.#root;
    for (const key of reference.split('/').slice(1, MAX_DEPTH)) {
      if (!isSchema(at) || !Object.hasOwn(at, key)) throw new TooLarge();
      at = at[key];
    }
    return at;
  }
}

function sampleString(schema: Schema): string {
  const format = schema['format'];
  if (typeof format === 'string' && Object.hasOwn(FORMATS, format)) return FORMATS[format] as string;
  const min = numberOf(schema['minLength']) ?? 0;
  const max = numberOf(schema['maxLength']) ?? MAX_STRING;
  if (min > MAX_STRING) throw new TooLarge();
  return 'simulated'.padEnd(min, '.').slice(0, Math.max(max, 0));
}

/** Zero, or the nearest whole number within the bounds. */
function sampleNumber(schema: Schema): number {
  const above = numberOf(schema['exclusiveMinimum']);
  const below = numberOf(schema['exclusiveMaximum']);
  const min = numberOf(schema['minimum']) ?? (above === undefined ? -Infinity : Math.floor(above) + 1);
  const max = numberOf(schema['maximum']) ?? (below === undefined ? Infinity : Math.ceil(below) - 1);
  return Math.min(Math.max(0, Math.ceil(min)), Math.floor(max));
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
