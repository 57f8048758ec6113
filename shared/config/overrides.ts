import { GatewayError } from '../errors.ts';
import { Lane } from '../messages/envelope.ts';
import { formatPath, suggest } from './errors.ts';
import type { ConfigPath } from './errors.ts';
import { choice, duration, isRecord, list, section, text } from './fields.ts';
import type { IssueParams } from './fields.ts';
import { checkModelName, checkRouteName } from './schema/names.ts';
import { policyShape, saidOf } from './schema/policy.ts';
import { HOUR } from './schema/waits.ts';
import { OVERRIDE_NAMES } from './types.ts';
import type { OverrideName, PolicyOverrides } from './types.ts';

/** What a request says of its own routing. */
export interface RequestOverrides {
  readonly overrides: PolicyOverrides;
  /** From `timeout`: the request's deadline, counted from its arrival. */
  readonly timeoutMs: number | undefined;
  readonly lane: Lane | undefined;
  /** What was said at all, to be compared with what the key allows. */
  readonly named: ReadonlyArray<OverrideName>;
}

/** As many as a chain of models has. */
const MOST_ITEMS = 16;
/** No form of a value has as many keys. */
const MOST_KEYS = 8;
const LONGEST_ITEM = 512;
/** A list of the longest items, with what stands between them. */
const LONGEST_TEXT = MOST_ITEMS * (LONGEST_ITEM + 2);
/** A message may quote a value. */
const LONGEST_MESSAGE = 300;

const requestFields = section({
  ...policyShape(checkRouteName),
  timeout: duration({ min: 1, max: 24 * HOUR }).optional(),
  /** An empty list: none at all. */
  fallbacks: list(text(checkModelName)).optional(),
  lane: choice(Lane.options).optional(),
});

/**
 * The `sluice` object of a request's body, or its `x-sluice-*` headers by the same names. A value is what JSON gives or
 * the text of a header: `"3"` is a number too, `"eu,us"` a list, `"800ms"` a hedge, `"downgrade:cheap"` and `"queue:20s"`
 * an `on_limit`, a bare number of `timeout` milliseconds. A blank value is not said.
 * @throws GatewayError(`invalid_request`) that names the first key at fault
 */
export function parseOverrides(value: unknown): RequestOverrides {
  if (!isRecord(value)) throw new GatewayError('invalid_request', "'sluice' must be an object.", { param: 'sluice' });
  const unknown = Object.keys(value).find((key) => !isOverrideName(key));
  if (unknown !== undefined) {
    throw refuse([unknown.slice(0, 64)], 'unknown key', suggest(unknown, OVERRIDE_NAMES));
  }
  const read = requestFields.safeParse(
    Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromText(key, bounded(key, item))])),
  );
  if (!read.success) {
    const [issue] = read.error.issues;
    const params: IssueParams = issue?.code === 'custom' ? (issue.params ?? {}) : {};
    throw refuse((issue?.path ?? []) as ConfigPath, issue?.message ?? 'not accepted', params.hint);
  }
  const { timeout: timeoutMs, lane, fallbacks, ...policy } = read.data;
  return {
    overrides: { ...saidOf(policy), ...(fallbacks !== undefined && { fallbacks }) },
    timeoutMs,
    lane,
    named: OVERRIDE_NAMES.filter((name) => read.data[name] !== undefined),
  };
}

function isOverrideName(key: string): key is OverrideName {
  return (OVERRIDE_NAMES as readonly string[]).includes(key);
}

/** A body may be large: what cannot be right is refused before each part of it is looked at, and complained of. */
function bounded(key: string, value: unknown): unknown {
  if (Array.isArray(value)) {
    if (value.length > MOST_ITEMS) throw refuse([key], `must name ${MOST_ITEMS} at most`);
    if (value.some((item) => typeof item === 'string' && item.length > LONGEST_ITEM))
      throw refuse([key], 'has a name that is too long');
  }
  if (typeof value === 'string' && value.length > LONGEST_TEXT) throw refuse([key], 'is too long');
  if (!isRecord(value)) return value;
  const entries = Object.entries(value);
  if (entries.length > MOST_KEYS) throw refuse([key], 'has too many keys');
  for (const [name, part] of entries) {
    if (name.length > LONGEST_ITEM) throw refuse([key], 'has a key that is too long');
    bounded(key, part);
  }
  return value;
}

/** What the text of a header stands for; what is no text, or has no such form, is left to its field. */
function fromText(key: string, value: unknown): unknown {
  if (key === 'timeout' && (typeof value === 'number' || (typeof value === 'string' && /^ *\d+ *$/.test(value)))) {
    return `${value}ms`;
  }
  if (key === 'hedge' && isRecord(value) && 'share' in value) {
    throw refuse(['hedge', 'share'], 'is for routes and routers to say');
  }
  if (typeof value !== 'string' || value === '') return value;
  const trimmed = value.trim();
  if (key === 'regions' || key === 'fallbacks') return bounded(key, splitList(trimmed));
  if (key === 'hedge' && trimmed !== 'off') return { after: trimmed };
  if (key === 'on_limit') {
    const [, kind, rest] = /^(queue|downgrade): *(\S+)$/.exec(trimmed) ?? [];
    if (kind !== undefined) return { [kind]: rest };
  }
  return trimmed;
}

function splitList(value: string): string[] {
  return value.split(',', MOST_ITEMS + 1).map((item) => item.trim());
}

function refuse(path: ConfigPath, message: string, hint?: string): GatewayError {
  const at = formatPath(['sluice', ...path]);
  const told = `Invalid value for '${at}': ${message}${hint === undefined ? '' : ` (${hint})`}`;
  const short = told.length > LONGEST_MESSAGE ? `${told.slice(0, LONGEST_MESSAGE)}…` : `${told}.`;
  return new GatewayError('invalid_request', short, { param: formatPath(['sluice', ...path.slice(0, 1)]) });
}
