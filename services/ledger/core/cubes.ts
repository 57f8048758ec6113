import type { UsageRecorded } from '../../../shared/messages/usage.ts';

/** What attempts are grouped by in the rollups: columns of `usage_groups`. The order is part of a group's id: append only. */
export const GROUP_COLUMNS = [
  'organisation',
  'team',
  'user_id',
  'key_id',
  'key_name',
  'feature',
  'tag_name',
  'tag_value',
  'model',
  'route',
  'deployment',
  'provider',
  'endpoint',
  'lane',
  'variant',
  'reason',
  'error',
] as const;
export type GroupColumn = (typeof GROUP_COLUMNS)[number];

/** The lane of attempts that name none. */
export const INTERACTIVE = 'interactive';

/**
 * The rollups are three cubes. Users and tags have their own, with few other columns: there may be millions of users, and an
 * attempt has up to sixteen tags, so in one cube with everything there would be as many groups as attempts.
 */
export const CUBES = {
  main: {
    id: 1,
    columns: [
      ...['organisation', 'team', 'key_id', 'key_name', 'feature', 'model', 'route', 'deployment', 'provider'],
      ...['endpoint', 'lane', 'variant', 'reason', 'error'],
    ],
  },
  user: { id: 2, columns: ['organisation', 'team', 'user_id', 'model', 'error'] },
  /** An attempt is in it once for each of its tags, and not at all without one. */
  tag: { id: 3, columns: ['tag_name', 'tag_value', 'organisation', 'team', 'model', 'error'] },
} as const satisfies Record<string, { id: number; columns: readonly GroupColumn[] }>;
export type CubeName = keyof typeof CUBES;

export type Group = { readonly [Column in GroupColumn]?: string | null };

/** The groups that an event is counted in. */
export function groupsOf(event: UsageRecorded): Array<{ readonly cube: CubeName; readonly group: Group }> {
  const { team, model, error } = event;
  const organisation = event.organisation ?? null;
  const main = {
    ...{ organisation, team, key_id: event.keyId, key_name: event.keyName, feature: event.feature ?? null, model },
    ...{ route: event.route, deployment: event.deployment, provider: event.provider, endpoint: event.endpoint },
    ...{ lane: event.lane ?? INTERACTIVE, variant: event.variant ?? null, reason: event.reason ?? null, error },
  };
  const user = { organisation, team, user_id: event.user ?? null, model, error };
  const tags = Object.entries(event.tags ?? {}).map(([tag_name, tag_value]) => ({
    cube: 'tag' as const,
    group: { tag_name, tag_value, organisation, team, model, error },
  }));
  return [{ cube: 'main', group: main }, { cube: 'user', group: user }, ...tags];
}

/** The smallest cube that knows all of these; undefined: only the attempts themselves do. */
export function cubeWith(columns: readonly GroupColumn[]): CubeName | undefined {
  const names: readonly CubeName[] = ['user', 'tag', 'main'];
  const has = (name: CubeName): boolean => {
    const known: readonly GroupColumn[] = CUBES[name].columns;
    // The tags' cube counts attempts once for each tag: it answers what names a tag, and nothing else.
    return columns.every((column) => known.includes(column)) && (name !== 'tag' || columns.includes('tag_name'));
  };
  return names.find(has);
}
