import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { UsageDimension, UsageFilter } from '../../services/ledger/core/usage-query.ts';
import { parseDimension, tagOf, TIME_DIMENSIONS } from '../../services/ledger/core/usage-query.ts';
import { parseDuration } from '../../shared/config/duration.ts';
import type { ConfigFlags } from './options.ts';

/** What says which attempts. */
export interface FilterFlags extends ConfigFlags {
  readonly since: number;
  readonly until?: number;
  readonly key?: string;
  readonly model?: string;
  readonly team?: string;
  readonly where?: readonly Condition[];
}

/** A dimension and the value it must have; null: none. */
type Condition = readonly [UsageDimension, string | null];

/** The options that say which attempts. */
export function withFilterOptions(command: Command): Command {
  return command
    .option('-s, --since <when>', 'from: a time ago (30m, 24h, 7d) or a date', pointInTime)
    .option('-u, --until <when>', 'up to: a time ago or a date', pointInTime)
    .option('-k, --key <key>', "only this key's: name or id")
    .option('-m, --model <model>', 'only this model, as clients name it')
    .option('--team <team>', "only this team's")
    .option('-w, --where <dimension=value>', 'only these; may be given several times', condition);
}

/** What `withFilterOptions` read. */
export function filterOf({ since, until, key, model, team, where = [] }: FilterFlags): UsageFilter {
  const tags = Object.fromEntries(
    where.flatMap(([dimension, value]) => {
      const name = tagOf(dimension);
      return name === undefined || value === null ? [] : [[name, value] as const];
    }),
  );
  return {
    sinceEpochMs: since,
    untilEpochMs: until,
    ...Object.fromEntries(where.filter(([dimension]) => tagOf(dimension) === undefined)),
    ...(key !== undefined && { key }),
    ...(model !== undefined && { model }),
    ...(team !== undefined && { team }),
    ...(Object.keys(tags).length > 0 && { tags }),
  };
}

/** `24h` → the time a day ago; an ISO date → that time. Milliseconds since the epoch. */
export function pointInTime(text: string): number {
  try {
    return Date.now() - parseDuration(text);
  } catch {
    const epochMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(epochMs))
      throw new InvalidArgumentError(
        'It must be a time ago (30m, 24h, 7d) or a date (2026-11-20, 2026-11-20T09:30:00Z).',
      );
    return epochMs;
  }
}

function condition(text: string, before: readonly Condition[] = []): Condition[] {
  const equals = text.indexOf('=');
  const dimension = parseDimension(text.slice(0, Math.max(0, equals)));
  const value = text.slice(equals + 1);
  if (dimension === undefined || TIME_DIMENSIONS.some((time) => time === dimension))
    throw new InvalidArgumentError('It must be a dimension and its value: team=search, tag:project=apollo.');
  if (value === '' && (tagOf(dimension) !== undefined || dimension === 'key'))
    throw new InvalidArgumentError(`Which ${dimension}?`);
  return [...before, [dimension, value === '' ? null : value]];
}
