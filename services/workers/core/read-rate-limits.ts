type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** What one limit of a provider is and was at the time of its answer. What was not told, or made no sense, is left out. */
export interface ReadLimit {
  /** Per minute. */
  limit?: number;
  remaining?: number;
  /** From now until it is full again, in milliseconds. */
  resetMs?: number;
}

export interface ReadRateLimits {
  requests?: ReadLimit;
  tokens?: ReadLimit;
}

interface Family {
  readonly kind: keyof ReadRateLimits;
  readonly limit: string;
  readonly remaining: string;
  readonly reset: string;
  readonly parseLimit: (text: string) => number | undefined;
  readonly parseReset: (text: string, nowEpochMs: number) => number | undefined;
}

const NONE: ReadRateLimits = Object.freeze({});
/** A reset further away is a mistake: a date in place of a duration, say. */
const MAX_RESET_MS = 24 * 60 * 60 * 1_000;

const WHOLE = /^\d{1,15}$/;
const SECONDS = /^\d{1,12}(\.\d+)?$/;
/** `1h2m3.5s`, as Go prints a duration. */
const DURATION = /^(\d+(\.\d+)?(h|m|s|ms|us|µs|ns))+$/;
const ONE_PART = /^(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)$/;
const DURATION_PART = /(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g;
const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
/** `100;w=60` or `100, 100;w=60`: so many within a window of so many seconds. */
const QUOTA = /^(\d{1,15})(?:\s*,\s*\1)?\s*;\s*w=(\d{1,9})\b/;

const FAMILIES: readonly Family[] = [
  // OpenAI, Azure, Groq, and whoever speaks as they do.
  ...(['requests', 'tokens'] as const).map((kind) => ({
    kind,
    limit: `x-ratelimit-limit-${kind}`,
    remaining: `x-ratelimit-remaining-${kind}`,
    reset: `x-ratelimit-reset-${kind}`,
    parseLimit: parseWhole,
    parseReset: parseDuration,
  })),
  ...(['requests', 'tokens', 'input-tokens', 'output-tokens'] as const).map((what) => ({
    kind: what === 'requests' ? ('requests' as const) : ('tokens' as const),
    limit: `anthropic-ratelimit-${what}-limit`,
    remaining: `anthropic-ratelimit-${what}-remaining`,
    reset: `anthropic-ratelimit-${what}-reset`,
    parseLimit: parseWhole,
    parseReset: untilDate,
  })),
  // draft-ietf-httpapi-ratelimit-headers, up to its seventh version.
  {
    kind: 'requests',
    limit: 'ratelimit-limit',
    remaining: 'ratelimit-remaining',
    reset: 'ratelimit-reset',
    parseLimit: parseQuota,
    parseReset: parseDuration,
  },
];

/**
 * The rate limits that a provider's answer tells (names in lower case). Where it tells several of one kind, the one with the
 * least remaining counts, whole. Headers that come twice or make no sense are ignored.
 */
export function readRateLimits(headers: Headers, nowEpochMs: number): ReadRateLimits {
  let found = NONE;
  for (const family of FAMILIES) {
    // This runs for every answer: who tells a limit tells what remains of it, so seven look-ups are all for who tells none.
    if (headers[family.remaining] === undefined) continue;
    const limit = readFamily(family, headers, nowEpochMs);
    if (limit !== undefined && isTighter(limit, found[family.kind])) found = { ...found, [family.kind]: limit };
  }
  return found;
}

function readFamily(family: Family, headers: Headers, nowEpochMs: number): ReadLimit | undefined {
  const limit = family.parseLimit(textOf(headers[family.limit]));
  const remaining = parseWhole(textOf(headers[family.remaining]));
  const resetMs = family.parseReset(textOf(headers[family.reset]), nowEpochMs);
  if (limit === undefined && remaining === undefined) return undefined;
  const read: ReadLimit = {};
  if (limit !== undefined) read.limit = limit;
  if (remaining !== undefined) read.remaining = remaining;
  if (resetMs !== undefined && resetMs <= MAX_RESET_MS) read.resetMs = Math.max(0, resetMs);
  return read;
}

function isTighter(limit: ReadLimit, than: ReadLimit | undefined): boolean {
  if (than === undefined) return true;
  return (limit.remaining ?? Infinity) < (than.remaining ?? Infinity);
}

function textOf(header: string | string[] | undefined): string {
  return typeof header === 'string' ? header.trim() : '';
}

function parseWhole(text: string): number | undefined {
  return WHOLE.test(text) ? Number(text) : undefined;
}

function parseQuota(text: string): number | undefined {
  const [, quota, windowSeconds] = QUOTA.exec(text) ?? [];
  const seconds = Number(windowSeconds);
  // Without its window a quota is no rate.
  return seconds > 0 ? (Number(quota) * 60) / seconds : undefined;
}

/** A bare number is seconds. */
function parseDuration(text: string): number | undefined {
  if (SECONDS.test(text)) return Number(text) * 1_000;
  // `6ms`, `8.64s`: as most are, and a third of the time.
  const [, one, of] = ONE_PART.exec(text) ?? [];
  if (one !== undefined) return Number(one) * UNIT_MS[of!]!;
  if (!DURATION.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) ms += Number(amount) * UNIT_MS[unit!]!;
  return ms;
}

function untilDate(text: string, nowEpochMs: number): number | undefined {
  if (!RFC_3339.test(text)) return undefined;
  // eslint-disable-next-line no-restricted-globals -- it reads a text here, not the clock
  const epochMs = Date.parse(text);
  return Number.isNaN(epochMs) ? undefined : epochMs - nowEpochMs;
}
