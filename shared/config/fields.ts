import { z } from 'zod';
import { MAX_RATE } from '../pricing.ts';
import { NANO_PER_USD, parseUsd } from '../money.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { suggest } from './errors.ts';
import { formatSize, parseSize } from './size.ts';

/** What a field says about its value; becomes the message and hint of one problem. */
export class InvalidValue extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** How a problem travels through zod: `hides` says that nothing further is to be told about what is below its path. */
export interface IssueParams {
  readonly hint?: string | undefined;
  readonly hides?: boolean;
}

interface Context {
  readonly issues: z.core.$ZodRawIssue[];
}

function addIssue({ issues }: Context, path: readonly PropertyKey[], message: string, params: IssueParams = {}): void {
  issues.push({ code: 'custom', path: [...path], message, params: { ...params }, input: undefined });
}

/** A field whose value is what `read` makes of it. A field left blank is not given, so `read` never sees null or ''. */
export function field<T>(read: (value: unknown) => T) {
  return z.unknown().transform((value, context): T => {
    try {
      if (value === undefined) throw new InvalidValue('is required');
      return read(value);
    } catch (error) {
      if (error instanceof InvalidValue) addIssue(context, [], error.message, { hint: error.hint });
      else if (error instanceof RangeError) addIssue(context, [], error.message);
      else throw error;
      return z.NEVER;
    }
  });
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function withoutBlanks(input: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null && value !== ''));
}

/**
 * A map with the keys of `shape`. Each other key is a problem of its own, beside those of the values: one of `later` is
 * "not supported yet", any other is unknown, with the nearest known key as its hint.
 */
export function section<Shape extends Record<string, z.ZodType>>(shape: Shape, later: readonly string[] = []) {
  const values = z.object(shape);
  const known = [...Object.keys(shape), ...later];
  return z.unknown().transform((input, context): z.output<typeof values> => {
    if (!isRecord(input)) {
      addIssue(context, [], 'must be a map of keys and values');
      return z.NEVER;
    }
    for (const key of Object.keys(input)) {
      if (later.includes(key)) addIssue(context, [key], `\`${key}\` is not supported yet`, { hides: true });
      else if (!Object.hasOwn(shape, key)) {
        addIssue(context, [key], `unknown key \`${key}\``, { hint: suggest(key, known), hides: true });
      }
    }
    return take(context, [], values.safeParse(withoutBlanks(input)));
  });
}

/** A map from names that the user chooses to values; `valueOf` may depend on the name. Keeps the file's order. */
export function named<Value extends z.ZodType>(checkName: (name: string) => void, valueOf: (name: string) => Value) {
  return z.unknown().transform((input, context): ReadonlyMap<string, z.output<Value>> => {
    const values = new Map<string, z.output<Value>>();
    if (!isRecord(input)) addIssue(context, [], 'must be a map from names to values');
    for (const [name, value] of isRecord(input) ? Object.entries(input) : []) {
      try {
        checkName(name);
      } catch (error) {
        if (!(error instanceof InvalidValue)) throw error;
        addIssue(context, [name], error.message, { hint: error.hint });
      }
      values.set(name, take(context, [name], valueOf(name).safeParse(value ?? {})));
    }
    return values;
  });
}

/** Hands on what was parsed, or its problems, as problems of the place `path` in `context`. */
function take<T>(context: Context, path: readonly PropertyKey[], result: z.ZodSafeParseResult<T>): T {
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    addIssue(context, [...path, ...issue.path], issue.message, 'params' in issue ? (issue.params as IssueParams) : {});
  }
  return z.NEVER;
}

/** A map read by `full`, or anything else read by `short`; the problems of either keep their place. */
export function shorthand<Short, Full>(short: z.ZodType<Short>, full: z.ZodType<Full>) {
  return z
    .unknown()
    .transform((input, context): Short | Full =>
      isRecord(input) ? take(context, [], full.safeParse(input)) : take(context, [], short.safeParse(input)),
    );
}

/** A list read by `many`, or anything else read by `one`. */
export function eitherList<One, Many>(one: z.ZodType<One>, many: z.ZodType<Many>) {
  return z
    .unknown()
    .transform((input, context): One | Many =>
      Array.isArray(input) ? take(context, [], many.safeParse(input)) : take(context, [], one.safeParse(input)),
    );
}

/** What `values` reads, unless its parts do not fit each other: `misfit` then says what is wrong with one of its keys. */
export function fitting<T>(values: z.ZodType<T>, misfit: (value: T) => Misfit | undefined) {
  return values.transform((value, context): T => {
    const found = misfit(value);
    if (found !== undefined) {
      addIssue(context, found.key === undefined ? [] : [found.key], found.message, { hint: found.hint });
    }
    return value;
  });
}

interface Misfit {
  /** undefined: the whole. */
  readonly key?: string;
  readonly message: string;
  readonly hint?: string;
}

/** A list, which must be given unless it is made optional. */
export function list<Item extends z.ZodType>(item: Item) {
  return z.array(item, { error: (issue) => (issue.input === undefined ? 'is required' : 'must be a list') });
}

/** The word that switches a feature off, in place of the map that describes it. */
export function off() {
  return field((value): 'off' => {
    if (value === 'off') return value;
    throw new InvalidValue('must be `off`, or a map of keys and values');
  });
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new InvalidValue('must be text', typeof value === 'object' ? undefined : 'write it in quotes');
}

/** Any text without line breaks. */
export function text(check: (text: string) => void = () => undefined) {
  return field((value) => {
    const read = textOf(value);
    if (/[\r\n]/.test(read)) throw new InvalidValue('must be one line');
    check(read);
    return read;
  });
}

export const HEADER_SAFE = 'must be printable ASCII without spaces';

export function isHeaderSafe(credential: string): boolean {
  return /^[\x21-\x7e]+$/.test(credential);
}

/** A credential: it must fit an HTTP header. Its problems never show it. */
export function secret() {
  return field((value) => {
    const read = textOf(value);
    if (!isHeaderSafe(read)) throw new InvalidValue(HEADER_SAFE);
    return read;
  });
}

/** A whole number; text of digits is one too, because that is what `${PORT}` gives. */
export function integer({ min, max }: Bounds) {
  return field((value) => {
    const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max) return number;
    throw new InvalidValue(`must be an integer from ${min} to ${max}`);
  });
}

/** Milliseconds. */
export function duration(bounds: Bounds) {
  return field((value) => millisOf(value, bounds));
}

/** The word itself, or milliseconds. */
export function wordOrDuration<const Word extends string>(word: Word, bounds: Bounds) {
  return field((value): Word | number => {
    if (value === word) return word;
    if (typeof value === 'string' && !/^\d/.test(value))
      throw new InvalidValue(`must be ${word}, or a duration such as 800ms`);
    return millisOf(value, bounds);
  });
}

interface Bounds {
  readonly min: number;
  readonly max: number;
}

function millisOf(value: unknown, { min, max }: Bounds): number {
  if (typeof value === 'number') throw new InvalidValue('has no unit', `\`${value}s\` or \`${value}ms\`?`);
  const millis = parseDuration(textOf(value));
  if (millis >= min && millis <= max) return millis;
  throw new InvalidValue(`must be from ${formatDuration(min)} to ${formatDuration(max)}`);
}

/** Bytes. */
export function size({ min, max }: Bounds) {
  return field((value) => {
    if (typeof value === 'number') throw new InvalidValue('has no unit', `\`${value}B\` or \`${value}MiB\`?`);
    const bytes = parseSize(textOf(value));
    if (bytes >= min && bytes <= max) return bytes;
    throw new InvalidValue(`must be from ${formatSize(min)} to ${formatSize(max)}`);
  });
}

/** `0.10 USD` per million tokens → nano-dollars per million tokens. */
export function rate() {
  return field((value) => {
    if (typeof value === 'number')
      throw new InvalidValue('has no currency', `write "${value} USD", per million tokens`);
    const nano = parseUsd(textOf(value));
    if (nano <= BigInt(MAX_RATE)) return Number(nano);
    throw new InvalidValue('must be at most "10000 USD" per million tokens');
  });
}

/** Far below 2^53 nano-dollars, and far above what one request costs. */
const MAX_COST_USD = 1_000_000n;

/** `0.05 USD` → nano-dollars; more than nothing. */
export function cost() {
  return field((value) => {
    if (typeof value === 'number') throw new InvalidValue('has no currency', `write "${value} USD"`);
    const nano = parseUsd(textOf(value));
    if (nano > 0n && nano <= MAX_COST_USD * NANO_PER_USD) return Number(nano);
    throw new InvalidValue(`must be above "0 USD" and at most "${String(MAX_COST_USD)} USD"`);
  });
}

/** `5%`, or 0.05: a number from 0 to 1. */
export function share() {
  return field((value) => {
    const percent = typeof value === 'string' ? /^(\d{1,3}(?:\.\d{1,9})?) ?%$/.exec(value.trim())?.[1] : undefined;
    const isPlain = typeof value === 'string' && /^\d{1,3}(?:\.\d{1,9})?$/.test(value.trim());
    const read = percent !== undefined ? Number(percent) / 100 : isPlain ? Number(value) : value;
    if (typeof read === 'number' && read >= 0 && read <= 1) return read;
    const hint = typeof read === 'number' && read > 1 && read <= 100 ? `\`${read}%\`?` : undefined;
    throw new InvalidValue('must be a share from 0 to 1, or from 0% to 100%', percent === undefined ? hint : undefined);
  });
}

/** One of `supported`; one of `later` is known, but not supported yet. */
export function choice<const T extends string>(supported: readonly T[], later: readonly string[] = []) {
  return field((value) => {
    const found = supported.find((option) => option === value);
    if (found !== undefined) return found;
    if (later.some((option) => option === value)) throw new InvalidValue(`\`${String(value)}\` is not supported yet`);
    const hint = typeof value === 'string' ? suggest(value, [...supported, ...later]) : undefined;
    throw new InvalidValue(`must be ${supported.length === 1 ? '' : 'one of '}${supported.join(', ')}`, hint);
  });
}

/** A URL with one of `schemes` (`http`, `nats`, …). It may hold a password, so its problems never show it. */
export function url(schemes: readonly string[], check: (url: URL) => void = () => undefined) {
  return field((value) => checkedUrl(textOf(value), schemes, check));
}

/** One URL or several, separated by commas without spaces: the servers of a cluster. */
export function urlList(schemes: readonly string[]) {
  return field((value) => {
    const urls = textOf(value).split(',');
    return urls.map((each) => checkedUrl(each, schemes)).join(',');
  });
}

function checkedUrl(read: string, schemes: readonly string[], check?: (url: URL) => void): string {
  const parsed = /\s/.test(read) || !URL.canParse(read) ? undefined : new URL(read);
  if (parsed === undefined || !schemes.includes(parsed.protocol.slice(0, -1)) || !hasHost(parsed)) {
    throw new InvalidValue(`must be a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`);
  }
  check?.(parsed);
  return read;
}

/** Postgres' URLs may name a socket in the query instead. */
function hasHost({ host, search }: URL): boolean {
  return host !== '' || search.includes('host=');
}
