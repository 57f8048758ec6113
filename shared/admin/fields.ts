import { z } from 'zod';
import { parseDuration } from '../config/duration.ts';
import { parseUsd } from '../money.ts';
import { MAX_TAGS, parseScope } from '../scope.ts';

/** Fields that several things of the admin API have. What comes in is JSON, and stays so: nothing here transforms. */

const MAX_NAME = 256;
/** Amounts are below this, as the tables check: 9 million dollars. */
const MAX_NANO_USD = 9_000_000_000_000_000n;
/** A longer text in a list of names (a model, a route, a network) is a mistake. */
const MAX_ENTRY_CHARS = 256;
const MAX_ENTRIES = 256;

/** Postgres holds neither NUL nor half a surrogate pair, and other control characters have no place in names. */
export function isPlainText(text: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what must not pass
  return text.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(text);
}

function text(max: number): z.ZodString {
  return z
    .string()
    .min(1)
    .max(max)
    .refine((value) => isPlainText(value) && value.trim() === value, {
      message: 'It must have no control characters, and no spaces around it.',
    });
}

/** What people call it. */
export const Name = text(MAX_NAME);

/** Chosen by whoever makes it, and the id of a scope: `search` of `team:search`. */
export const ChosenId = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/,
    'It must be 1 to 128 letters, digits, dots, underscores, at signs and hyphens, and begin with a letter or a digit.',
  );

/** Names of things, without doubles to speak of. */
export const Entries = z.array(text(MAX_ENTRY_CHARS)).max(MAX_ENTRIES);

export const TagMap = z
  .record(text(64).regex(/^[^=]+$/, 'The name of a tag has no equals sign.'), text(128))
  .refine((tags) => Object.keys(tags).length <= MAX_TAGS, { message: `There may be at most ${MAX_TAGS} tags.` })
  .describe('Name → value.');

export const Timestamp = z.iso.datetime({ offset: true }).describe('ISO 8601, as 2026-11-20T09:30:00Z.');

export const ScopeField = text(160)
  .refine((value) => parseScope(value) !== undefined, {
    message:
      'It must be a scope: total, or one of organisation, team, user, key, feature, model, route and tag with an id, as team:search, tag:env=prod, or user:* for each user apart.',
  })
  .describe('`total`, `team:search`, `tag:env=prod`, or `user:*` for each user apart.');

/** `12.50 USD`; read it with `parseUsd`. */
export const Money = z
  .string()
  .max(40)
  .refine(isAmount, { message: 'It must be an amount of money below 9 million USD, such as "12.50 USD".' })
  .describe('An exact decimal amount: `12.50 USD`.');

function isAmount(value: string): boolean {
  try {
    return parseUsd(value) <= MAX_NANO_USD;
  } catch {
    return false;
  }
}

/** `90s`; read it with `parseDuration`. */
export const Duration = z
  .string()
  .max(20)
  .refine(isDuration, { message: 'It must be a duration, such as 30s, 5m, 2h or 7d.' })
  .describe('One number and one unit: `30s`, `5m`, `2h`, `7d`.');

function isDuration(value: string): boolean {
  try {
    return parseDuration(value) > 0;
  } catch {
    return false;
  }
}

/** What every thing that can be changed has. */
export const VERSIONED = {
  version: z.int().positive().describe('Goes up with each change; the ETag is this number in quotes.'),
  created_at: Timestamp,
  updated_at: Timestamp,
};

/** What is left of a thing that was taken away. */
export const Deleted = z
  .object({ object: z.string(), id: z.string(), deleted: z.literal(true) })
  .meta({ id: 'Deleted' });
