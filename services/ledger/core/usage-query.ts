import type { PlainDimension } from '../../../shared/usage-dimensions.ts';
import { USAGE_DIMENSIONS } from '../../../shared/usage-dimensions.ts';
import type { GroupColumn } from './cubes.ts';

export const TIME_DIMENSIONS = ['day', 'hour'] as const;
export type TimeDimension = (typeof TIME_DIMENSIONS)[number];

/** `tag:project`: the values of one tag. An attempt without it is in no group. */
export type TagDimension = `tag:${string}`;

export type UsageDimension = PlainDimension | TimeDimension | TagDimension;

/** Which attempts; each may be left out. `null` of a dimension: those that have none (no team, no error). */
export interface UsageFilter extends Readonly<Partial<Record<PlainDimension, string | null | undefined>>> {
  /** Attempts that began at or after this. */
  readonly sinceEpochMs?: number | undefined;
  /** Attempts that began before this. */
  readonly untilEpochMs?: number | undefined;
  /** A key's id or name. */
  readonly key?: string | undefined;
  /** Attempts with all of these tags: name → value. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

export interface UsageQuery extends UsageFilter {
  /** Empty: one row, the sum of all. */
  readonly groupBy: readonly UsageDimension[];
  /** At most this many rows, the dearest first (with `day` or `hour`: the latest first); default 1000. */
  readonly limit?: number | undefined;
  /** Only this many groups, the dearest of the whole time: with `day` or `hour` each of them has its whole series. */
  readonly top?: number | undefined;
  /** Quantiles of so many attempts at most are looked up one by one; of more they come from histograms. Default 10 000. */
  readonly exactUpToAttempts?: number | undefined;
}

/** The column of a group that holds a dimension; a key is known by its id. */
export const COLUMN_OF: Readonly<Record<PlainDimension, GroupColumn>> = {
  organisation: 'organisation',
  team: 'team',
  user: 'user_id',
  key: 'key_id',
  feature: 'feature',
  model: 'model',
  route: 'route',
  deployment: 'deployment',
  provider: 'provider',
  endpoint: 'endpoint',
  lane: 'lane',
  variant: 'variant',
  reason: 'reason',
  error: 'error',
};

export function isTimeDimension(dimension: UsageDimension): dimension is TimeDimension {
  return TIME_DIMENSIONS.some((time) => time === dimension);
}

/** The tag of `tag:project`; undefined for other dimensions. */
export function tagOf(dimension: UsageDimension): string | undefined {
  return dimension.startsWith('tag:') ? dimension.slice('tag:'.length) : undefined;
}

/** undefined: it is none. */
export function parseDimension(word: string): UsageDimension | undefined {
  if (/^tag:./.test(word)) return word as TagDimension;
  return [...USAGE_DIMENSIONS, ...TIME_DIMENSIONS].find((known) => known === word);
}

/** What a query looks at: the columns of groups, and the names of tags. */
export function lookedAt(
  groupBy: readonly UsageDimension[],
  filter: UsageFilter,
): { readonly columns: GroupColumn[]; readonly tags: string[] } {
  const plain = USAGE_DIMENSIONS.filter((name) => groupBy.includes(name) || filter[name] !== undefined);
  const tags = new Set([...groupBy.flatMap((name) => tagOf(name) ?? []), ...Object.keys(filter.tags ?? {})]);
  return {
    columns: [
      ...plain.map((name) => COLUMN_OF[name]),
      ...(plain.includes('key') ? (['key_name'] as const) : []),
      ...(tags.size > 0 ? (['tag_name', 'tag_value'] as const) : []),
    ],
    tags: [...tags],
  };
}
