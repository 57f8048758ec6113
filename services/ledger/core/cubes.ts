import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { keyPart } from './key-part.ts';

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
 * The rollups are four cubes. Users and tags have their own, with few other columns: there may be millions of users, and an
 * attempt has up to sixteen tags, so in one cube with everything there would be as many groups as attempts. Teams have one
 * because most of what is asked needs no more, and it has some thirtieth of the rows of `main`.
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
  team: { id: 4, columns: ['organisation', 'team', 'error'] },
} as const satisfies Record<string, { id: number; columns: readonly GroupColumn[] }>;
export type CubeName = keyof typeof CUBES;

/**
 * Cubes whose sums are kept by four days too: a month of theirs has a hundred thousand rows by days. Teams have few, and of
 * users the four days would be as many rows as the days, for hardly anybody comes each day.
 */
export const BY_FOUR_DAYS: readonly CubeName[] = ['main', 'tag'];

/** Groups of users whatever their models and errors, to find the dearest by: what they cost, in `usage_user_costs`. */
export const RANKED_USERS = { id: 5, columns: ['organisation', 'team', 'user_id'] } as const satisfies {
  id: number;
  columns: readonly GroupColumn[];
};

/** Values in the order of `GROUP_COLUMNS`; what the cube does not know is null. */
export type Group = readonly (string | null)[];

/** A group that an event is counted in. Most are known from the events before: its key tells, and `groupAt` the values. */
export interface Place {
  readonly cube: CubeName;
  /** The same for the same group, and for no other group of any cube. Only in memory, where it is cheaper than an id. */
  readonly key: string;
  /** In the tags' cube. */
  readonly tag?: string;
}

/** Of the tags' cube there is one for each tag. */
export function placesOf(event: UsageRecorded): Place[] {
  const team = keyPart(event.organisation) + keyPart(event.team) + keyPart(event.error);
  const model = team + keyPart(event.model);
  const by = keyPart(event.keyId) + keyPart(event.keyName) + keyPart(event.feature);
  const where = keyPart(event.route) + keyPart(event.deployment) + keyPart(event.provider) + keyPart(event.endpoint);
  const how = keyPart(event.lane ?? INTERACTIVE) + keyPart(event.variant) + keyPart(event.reason);
  const places: Place[] = [
    { cube: 'main', key: `1${model}${by}${where}${how}` },
    { cube: 'user', key: `2${model}${keyPart(event.user)}` },
    { cube: 'team', key: `4${team}` },
  ];
  const tags = event.tags ?? {};
  for (const tag in tags) places.push({ cube: 'tag', key: `3${model}${keyPart(tag)}${keyPart(tags[tag])}`, tag });
  return places;
}

/** Of `RANKED_USERS`, as `Place.key`. */
export function rankedKey([organisation, team, user]: Group): string {
  return `5${keyPart(organisation)}${keyPart(team)}${keyPart(user)}`;
}

/** The values of one of the event's groups. */
export function groupAt(event: UsageRecorded, { cube, tag }: Place): Group {
  const { keyId, keyName, team, model, route, deployment, provider, endpoint, error } = event;
  const organisation = event.organisation ?? null;
  const feature = event.feature ?? null;
  const lane = event.lane ?? INTERACTIVE;
  const variant = event.variant ?? null;
  const reason = event.reason ?? null;
  // prettier-ignore
  switch (cube) {
    case 'main': return [organisation, team, null, keyId, keyName, feature, null, null, model, route, deployment, provider, endpoint, lane, variant, reason, error];
    case 'user': return [organisation, team, event.user ?? null, null, null, null, null, null, model, null, null, null, null, null, null, null, error];
    case 'team': return [organisation, team, null, null, null, null, null, null, null, null, null, null, null, null, null, null, error];
    case 'tag': return [organisation, team, null, null, null, null, tag ?? null, event.tags?.[tag ?? ''] ?? null, model, null, null, null, null, null, null, null, error];
  }
}

/**
 * A group as Postgres writes a row, `row(cube, organisation, …)::text`: the same for the same group at every ledger and in SQL,
 * whatever its values. Its id is made of it (rollups.ts).
 */
export function groupText(cubeId: number, group: Group): string {
  return rowText([String(cubeId), ...group]);
}

const TEAM = GROUP_COLUMNS.indexOf('team');
const TAG_NAME = GROUP_COLUMNS.indexOf('tag_name');

/** The first part of a group's id is made of it: that of the tag where there is one, otherwise of the team. */
export function neighboursOf(group: Group): string {
  return neighbours(group[TAG_NAME] ?? group[TEAM] ?? null);
}

/** As `row(coalesce(tag_name, team))::text`. */
export function neighbours(tagOrTeam: string | null): string {
  return rowText([tagOrTeam]);
}

function rowText(values: Group): string {
  let text = '';
  for (const value of values) text += value === null ? ',' : `,${rowField(value)}`;
  return `(${text.slice(1)})`;
}

/** Quoted where it is empty or has a character in it that means something in a row. */
function rowField(value: string): string {
  return value === '' || /[\s"\\(),]/.test(value) ? `"${value.replace(/["\\]/g, '$&$&')}"` : value;
}

/** The cube with the fewest groups that knows all of these; undefined: only the attempts themselves do. */
export function cubeWith(columns: readonly GroupColumn[]): CubeName | undefined {
  // There are more users than keys.
  const names: readonly CubeName[] = ['team', 'main', 'tag', 'user'];
  const has = (name: CubeName): boolean => {
    const known: readonly GroupColumn[] = CUBES[name].columns;
    // The tags' cube counts attempts once for each tag: it answers what names a tag, and nothing else.
    return columns.every((column) => known.includes(column)) && (name !== 'tag' || columns.includes('tag_name'));
  };
  return names.find(has);
}
