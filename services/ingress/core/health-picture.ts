import type { DeploymentReport, LedgerBeat, RouterBeat, WorkerBeat } from '../../../shared/messages/beat.ts';
import type { ForcedState } from '../../../shared/messages/control.ts';

/** What an instance said last, and how long ago. */
export interface Heard<Beat> {
  readonly beat: Beat;
  readonly ageMs: number;
}

/** All that is known of the gateway's parts: instances that live, and what operators forced. */
export interface Parts {
  /** Deployments that are shown although nobody reports them: nothing is wrong with them, and nobody uses them. */
  readonly configured: readonly string[];
  readonly forced: readonly ForcedState[];
  readonly workers: ReadonlyArray<Heard<Pick<WorkerBeat, 'worker' | 'isDraining' | 'pools' | 'deployments'>>>;
  readonly routers: ReadonlyArray<Heard<Pick<RouterBeat, 'router' | 'isDraining' | 'waiting'>>>;
  readonly ledgers: ReadonlyArray<Heard<LedgerBeat>>;
}

export type DeploymentState = 'closed' | 'open' | 'half_open' | 'throttled' | 'drained' | 'disabled';

export interface Room {
  readonly room: number;
  readonly per_minute: number;
}

/** One deployment at one worker. null: not known there, or there is no such limit or check. */
export interface WorkerHealth {
  readonly worker: string;
  readonly in_flight: number;
  readonly breaker: 'closed' | 'open' | 'half_open';
  readonly probe_in_ms: number | null;
  readonly throttled_ms: number | null;
  readonly failure_ratio: number | null;
  readonly ttft_ms: number | null;
  readonly total_ms: number | null;
  readonly p95_ms: number | null;
  readonly requests: Room | null;
  readonly tokens: Room | null;
  /** Why the active check failed; null when it passed, or there is none. */
  readonly check_failed: string | null;
}

export interface DeploymentHealth {
  readonly deployment: string;
  /** What was forced; else the worst that some worker says. */
  readonly state: DeploymentState;
  readonly in_flight: number;
  readonly workers: readonly WorkerHealth[];
  readonly forced: {
    readonly state: ForcedState['state'];
    readonly since_epoch_ms: number;
    readonly note: string | null;
  } | null;
}

export interface PoolHealth {
  readonly pool: string;
  /** Those that take requests: draining ones do not count. */
  readonly workers: number;
  /** Attempts that these may have under way. */
  readonly capacity: number;
  readonly in_flight: number;
  readonly waiting: number;
}

export interface HealthPicture {
  readonly deployments: readonly DeploymentHealth[];
  readonly pools: readonly PoolHealth[];
  readonly routers: ReadonlyArray<{ readonly router: string; readonly draining: boolean; readonly waiting: number }>;
  readonly workers: ReadonlyArray<{ readonly worker: string; readonly draining: boolean; readonly in_flight: number }>;
  readonly ledgers: ReadonlyArray<{
    readonly ledger: string;
    readonly postgres: string | null;
    readonly backlog: number;
  }>;
}

/** One picture of all parts, in the form that `GET /admin/health` and `sluice health --json` print. Sorted by name. */
export function pictureOf(parts: Parts): HealthPicture {
  return {
    deployments: deploymentsOf(parts),
    pools: poolsOf(parts),
    routers: parts.routers
      .map(({ beat: { router, isDraining, waiting } }) => ({
        router,
        draining: isDraining,
        waiting: sumOf(Object.values(waiting)),
      }))
      .toSorted(by(({ router }) => router)),
    workers: parts.workers
      .map(({ beat: { worker, isDraining, pools } }) => ({
        worker,
        draining: isDraining,
        in_flight: sumOf(pools.map(({ inFlight }) => inFlight)),
      }))
      .toSorted(by(({ worker }) => worker)),
    ledgers: parts.ledgers
      .map(({ beat: { ledger, postgres, backlog } }) => ({ ledger, postgres, backlog }))
      .toSorted(by(({ ledger }) => ledger)),
  };
}

function deploymentsOf({ configured, forced, workers }: Parts): DeploymentHealth[] {
  const reports = new Map<string, WorkerHealth[]>(configured.map((deployment) => [deployment, []]));
  for (const { deployment } of forced) if (!reports.has(deployment)) reports.set(deployment, []);
  for (const { beat, ageMs } of workers) {
    for (const report of beat.deployments) {
      const all = reports.get(report.deployment) ?? [];
      all.push(healthAt(beat.worker, report, ageMs));
      reports.set(report.deployment, all);
    }
  }
  const forcedBy = new Map(forced.map((state) => [state.deployment, state]));
  return [...reports]
    .map(([deployment, at]) => {
      const said = forcedBy.get(deployment);
      return {
        deployment,
        state: said?.state ?? worstOf(at),
        in_flight: sumOf(at.map(({ in_flight }) => in_flight)),
        workers: at.toSorted(by(({ worker }) => worker)),
        forced:
          said === undefined ? null : { state: said.state, since_epoch_ms: said.atEpochMs, note: said.note ?? null },
      };
    })
    .toSorted(by(({ deployment }) => deployment));
}

/** The report told of the time after its beat, which is `ageMs` ago. */
function healthAt(worker: string, report: DeploymentReport, ageMs: number): WorkerHealth {
  const left = (ms: number | undefined): number | null =>
    ms === undefined ? null : Math.max(0, Math.round(ms - ageMs));
  const rounded = (ms: number | undefined): number | null => (ms === undefined ? null : Math.round(ms));
  return {
    worker,
    in_flight: report.inFlight,
    breaker: report.breaker,
    probe_in_ms: left(report.probeInMs),
    throttled_ms: left(report.throttledMs),
    failure_ratio: report.failureRatio ?? null,
    ttft_ms: rounded(report.ttftMs),
    total_ms: rounded(report.totalMs),
    p95_ms: rounded(report.p95Ms),
    requests: roomOf(report.requests),
    tokens: roomOf(report.tokens),
    check_failed: report.checkFailed ?? null,
  };
}

function roomOf(limit: { room: number; perMinute: number } | undefined): Room | null {
  return limit === undefined ? null : { room: Math.floor(limit.room), per_minute: limit.perMinute };
}

function worstOf(workers: readonly WorkerHealth[]): DeploymentState {
  for (const breaker of ['open', 'half_open'] as const)
    if (workers.some((each) => each.breaker === breaker)) return breaker;
  return workers.some(({ throttled_ms }) => (throttled_ms ?? 0) > 0) ? 'throttled' : 'closed';
}

function poolsOf({ workers, routers }: Parts): PoolHealth[] {
  const pools = new Map<string, { workers: number; capacity: number; in_flight: number; waiting: number }>();
  const of = (pool: string): { workers: number; capacity: number; in_flight: number; waiting: number } => {
    const known = pools.get(pool) ?? { workers: 0, capacity: 0, in_flight: 0, waiting: 0 };
    pools.set(pool, known);
    return known;
  };
  for (const { beat } of workers) {
    for (const { pool, capacity, inFlight } of beat.pools) {
      const sum = of(pool);
      sum.in_flight += inFlight;
      if (beat.isDraining) continue;
      sum.workers++;
      sum.capacity += capacity;
    }
  }
  for (const { beat } of routers)
    for (const [pool, waiting] of Object.entries(beat.waiting)) of(pool).waiting += waiting;
  return [...pools].map(([pool, sums]) => ({ pool, ...sums })).toSorted(by(({ pool }) => pool));
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

function by<T>(name: (each: T) => string): (a: T, b: T) => number {
  return (a, b) => (name(a) < name(b) ? -1 : 1);
}
