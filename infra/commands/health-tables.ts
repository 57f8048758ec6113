import type { DeploymentHealth, HealthPicture, PoolHealth, Room } from '../../services/ingress/core/health-picture.ts';
import type { Column } from './table.ts';
import { renderTable } from './table.ts';
import { styled } from './terminal.ts';

/** What is to be seen to, one line each; empty when all is well. A drained deployment is as its operator wants it. */
export function troublesOf(picture: HealthPicture, configuredPools: readonly string[]): string[] {
  const { deployments, pools, routers, workers, ledgers } = picture;
  const served = new Set(pools.filter((pool) => pool.workers > 0).map(({ pool }) => pool));
  const unserved = configuredPools.filter((pool) => !served.has(pool));
  const postgres = ledgers.find((ledger) => ledger.postgres !== null)?.postgres;
  return [
    ...(workers.some(({ draining }) => !draining) ? [] : ['no worker is heard of']),
    ...(routers.some(({ draining }) => !draining) ? [] : ['no router is heard of']),
    ...(ledgers.length > 0 ? [] : ['no ledger is heard of']),
    ...(postgres == null ? [] : [`Postgres: ${postgres}`]),
    ...(workers.length > 0 && unserved.length > 0 ? [`no worker serves ${unserved.join(', ')}`] : []),
    ...deployments
      .filter(({ state }) => state === 'open' || state === 'disabled')
      .map(({ deployment, state }) => `${deployment} is ${state}`),
  ];
}

/** The whole picture for people; deployments of which nobody says anything are counted only. */
export function healthTables(picture: HealthPicture, troubles: readonly string[]): string {
  const { deployments, pools, routers, workers, ledgers } = picture;
  const telling = deployments.filter((each) => each.workers.length > 0 || each.forced !== null);
  const quiet = deployments.length - telling.length;
  const silent = quiet === 1 ? '1 deployment is not in use.' : `${quiet} deployments are not in use.`;
  const behind = ledgers.reduce((sum, { backlog }) => sum + backlog, 0);
  return [
    ...(telling.length === 0 ? [] : [renderTable(DEPLOYMENT_COLUMNS, telling)]),
    ...(quiet === 0 ? [] : [telling.length === 0 ? silent : `and ${silent}`]),
    '',
    ...(pools.length === 0 ? [] : [renderTable(POOL_COLUMNS, pools), '']),
    `${counted(routers, 'router')} · ${counted(workers, 'worker')} · ${counted(ledgers, 'ledger')}, ${behind} usage events behind`,
    ...(troubles.length === 0
      ? [styled('green', 'All is well.')]
      : troubles.map((trouble) => `${styled('red', 'amiss')}  ${trouble}`)),
  ].join('\n');
}

/** `sluice deployments list`. */
export function deploymentsTable(deployments: readonly DeploymentHealth[]): string {
  const shown = new Set(['deployment', 'state', 'in flight', 'why']);
  return renderTable(
    DEPLOYMENT_COLUMNS.filter(({ title }) => shown.has(title)),
    deployments,
  );
}

function counted(instances: readonly object[], what: string): string {
  const draining = instances.filter((each) => 'draining' in each && each.draining === true).length;
  const live = instances.length - draining;
  return `${live} ${what}${live === 1 ? '' : 's'}${draining === 0 ? '' : ` (${draining} draining)`}`;
}

const DEPLOYMENT_COLUMNS: ReadonlyArray<Column<DeploymentHealth>> = [
  { title: 'deployment', cell: ({ deployment }) => deployment, minWidth: 16 },
  { title: 'state', cell: ({ state }) => state },
  { title: 'in flight', cell: ({ in_flight }) => String(in_flight), align: 'right', importance: 5 },
  { title: 'ttft', cell: (each) => ms(most(each, (at) => at.ttft_ms)), align: 'right', importance: 3 },
  { title: 'p95', cell: (each) => ms(most(each, (at) => at.p95_ms)), align: 'right', importance: 4 },
  { title: 'failed', cell: (each) => percent(most(each, (at) => at.failure_ratio)), align: 'right', importance: 4 },
  {
    title: 'requests left',
    cell: (each) => room(each.workers.map(({ requests }) => requests)),
    align: 'right',
    importance: 2,
  },
  {
    title: 'tokens left',
    cell: (each) => room(each.workers.map(({ tokens }) => tokens)),
    align: 'right',
    importance: 1,
  },
  { title: 'why', cell: why, minWidth: 28, importance: 6 },
];

const POOL_COLUMNS: ReadonlyArray<Column<PoolHealth>> = [
  { title: 'pool', cell: ({ pool }) => pool, minWidth: 12 },
  { title: 'workers', cell: ({ workers }) => String(workers), align: 'right' },
  { title: 'busy', cell: ({ in_flight, capacity }) => `${in_flight} of ${capacity}`, align: 'right' },
  { title: 'waiting', cell: ({ waiting }) => String(waiting), align: 'right' },
];

/** The worst of the workers that know it. */
function most(
  { workers }: DeploymentHealth,
  of: (at: DeploymentHealth['workers'][number]) => number | null,
): number | null {
  const known = workers.flatMap((at) => of(at) ?? []);
  return known.length === 0 ? null : Math.max(...known);
}

/** The least room that some worker has. */
function room(rooms: ReadonlyArray<Room | null>): string {
  const known = rooms.filter((each) => each !== null).toSorted((a, b) => a.room - b.room);
  const [least] = known;
  return least === undefined ? '-' : `${amount(least.room)} of ${amount(least.per_minute)}/min`;
}

/** Why it is as it is, and for how long; where only some workers say so, which. */
function why({ state, forced, workers }: DeploymentHealth): string {
  if (forced !== null) {
    const since = new Date(forced.since_epoch_ms)
      .toISOString()
      .replace(/\.\d+Z$/, 'Z')
      .replace('T', ' ');
    return forced.note === null ? `since ${since}` : `${forced.note} (since ${since})`;
  }
  const at = (those: DeploymentHealth['workers']): string =>
    those.length === workers.length ? '' : ` at ${those.map(({ worker }) => worker).join(', ')}`;
  const said: string[] = [];
  if (state === 'open' || state === 'half_open') {
    const those = workers.filter(({ breaker }) => breaker === state);
    const probe = Math.min(...those.map(({ probe_in_ms }) => probe_in_ms ?? Infinity));
    said.push(
      `breaker ${state}${at(those)}${state === 'open' && probe < Infinity ? `, probe in ${seconds(probe)}` : ''}`,
    );
  }
  const throttled = workers.filter(({ throttled_ms }) => (throttled_ms ?? 0) > 0);
  if (throttled.length > 0)
    said.push(
      `limit used up${at(throttled)}, for ${seconds(Math.max(...throttled.map(({ throttled_ms }) => throttled_ms ?? 0)))}`,
    );
  const failed = workers.filter(({ check_failed }) => check_failed !== null);
  if (failed.length > 0) said.push(`check failed${at(failed)}: ${failed[0]?.check_failed}`);
  return said.join('; ');
}

function ms(value: number | null): string {
  return value === null ? '-' : `${value} ms`;
}

function percent(ratio: number | null): string {
  return ratio === null ? '-' : `${Math.round(ratio * 100)} %`;
}

function seconds(value: number): string {
  return `${Math.ceil(value / 1_000)} s`;
}

function amount(value: number): string {
  return value.toLocaleString('en-US');
}
