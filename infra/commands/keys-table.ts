import type { KeyRecord } from '../../services/ledger/principals/keys.ts';
import type { Column } from './table.ts';
import { print, printable } from './terminal.ts';

/** A key as the list shows it; those of the file are named there alone. */
export type ListedKey = Pick<KeyRecord, 'name' | 'team' | 'role' | 'isAdmin' | 'overrides'> & {
  readonly source: 'database' | 'configuration';
} & Partial<KeyRecord>;

export async function printKeys(keys: readonly ListedKey[]): Promise<void> {
  const { renderTable } = await import('./table.ts');
  print(renderTable(COLUMNS, keys));
}

const COLUMNS: ReadonlyArray<Column<ListedKey>> = [
  { title: 'name', cell: (key) => key.name, minWidth: 12 },
  { title: 'key', cell: (key) => (key.prefix === undefined ? 'in the configuration' : `${key.prefix}…`) },
  { title: 'team', cell: (key) => key.team ?? '-', minWidth: 8, importance: 4 },
  { title: 'role', cell: (key) => key.role ?? 'client', importance: 5 },
  { title: 'overrides', cell: ({ overrides: names }) => saidOf(names), minWidth: 9, importance: 2 },
  { title: 'status', cell: (key) => statusOf(key, Date.now()) },
  {
    title: 'created',
    cell: (key) => (key.createdEpochMs === undefined ? '-' : day(key.createdEpochMs)),
    importance: 3,
  },
  { title: 'id', cell: (key) => key.id ?? '-', importance: 1 },
];

/** Everything about a key, a line each; what is the default is left out. */
export function printKey(key: KeyRecord): void {
  const lines: Array<readonly [string, string | null]> = [
    ['name', key.name],
    ['id', key.id],
    ['key', `${key.prefix}…`],
    ['status', statusOf(key, Date.now())],
    ['role', key.role ?? 'client'],
    ['organisation', key.organisation],
    ['team', key.team],
    ['user', key.user],
    ['expires', moment(key.expiresEpochMs)],
    ['old token until', moment(key.oldTokenUntilEpochMs)],
    ['routes', listed(key.routes)],
    ['models', listed(key.models)],
    ['regions', listed(key.regions)],
    ['networks', listed(key.networks)],
    ['may name', listed(key.mayName)],
    ['tags', listed(tagsOf(key))],
    ['overrides', key.overrides === 'all' ? null : saidOf(key.overrides)],
    ['log payloads', key.logPayloads === 'none' ? null : key.logPayloads],
    ['created', moment(key.createdEpochMs)],
    ['updated', moment(key.updatedEpochMs)],
  ];
  const width = Math.max(...lines.map(([title]) => title.length));
  for (const [title, value] of lines) if (value !== null) print(`${title.padEnd(width)}  ${printable(value)}`);
}

/** For scripts: moments as ISO 8601. */
export function asJson({
  createdEpochMs,
  updatedEpochMs,
  revokedEpochMs,
  blockedEpochMs,
  expiresEpochMs,
  oldTokenUntilEpochMs,
  ...key
}: ListedKey): object {
  return {
    ...key,
    createdAt: moment(createdEpochMs),
    updatedAt: moment(updatedEpochMs),
    expiresAt: moment(expiresEpochMs),
    blockedAt: moment(blockedEpochMs),
    revokedAt: moment(revokedEpochMs),
    oldTokenUntil: moment(oldTokenUntilEpochMs),
  };
}

export function keyAsJson(key: KeyRecord): object {
  return asJson({ ...key, source: 'database' });
}

function statusOf(key: Partial<KeyRecord>, nowEpochMs: number): string {
  if (key.revokedEpochMs != null) return `revoked ${day(key.revokedEpochMs)}`;
  if (key.blockedEpochMs != null) return `blocked ${day(key.blockedEpochMs)}`;
  if (key.expiresEpochMs == null) return 'live';
  return key.expiresEpochMs <= nowEpochMs
    ? `expired ${day(key.expiresEpochMs)}`
    : `live until ${day(key.expiresEpochMs)}`;
}

/** As `--overrides` takes it. */
function saidOf(names: KeyRecord['overrides']): string {
  if (names === 'all') return names;
  return names.length === 0 ? 'none' : names.join(',');
}

function tagsOf({ tags }: KeyRecord): string[] | null {
  const all = Object.entries(tags).map(([name, value]) => `${name}=${value}`);
  return all.length === 0 ? null : all;
}

function listed(names: readonly string[] | null): string | null {
  return names === null ? null : names.length === 0 ? 'none' : names.join(', ');
}

function day(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10);
}

function moment(epochMs: number | null | undefined): string | null {
  return epochMs == null ? null : new Date(epochMs).toISOString();
}
