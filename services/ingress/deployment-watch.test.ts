import { describe, expect, test } from 'vitest';
import type { DeploymentReport, WorkerBeat } from '../../shared/messages/beat.ts';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';
import type { ForcedState } from '../../shared/messages/control.ts';
import { DeploymentWatch } from './deployment-watch.ts';

function make({ configured = [], forced = [] }: { configured?: string[]; forced?: ForcedState[] } = {}) {
  let now = 0;
  const watch = new DeploymentWatch({
    clock: { now: () => now, epochMs: () => now },
    configured,
    forced: { all: () => forced },
  });
  const at = (ms: number, stalledMs = 0): void => watch.sweep((now = ms), stalledMs);
  const states = (): Record<string, string> =>
    Object.fromEntries(watch.picture().deployments.map(({ deployment, state }) => [deployment, state]));
  return { watch, at, states };
}

function beat(worker: string, ...deployments: DeploymentReport[]): WorkerBeat {
  return { v: 1, worker, isDraining: false, pools: [], deployments };
}

function report(deployment: string, fields: Partial<DeploymentReport> = {}): DeploymentReport {
  return { deployment, inFlight: 0, breaker: 'closed', ...fields };
}

function forcedTo(state: ForcedState['state'], deployment: string, note?: string): ForcedState {
  return { v: 1, deployment, state, atEpochMs: 0, ...(note !== undefined && { note }) };
}

describe('the state of a deployment', () => {
  test.each([
    { reports: [{}], state: 'closed', why: 'nothing is wrong' },
    { reports: [{ throttledMs: 500 }, {}], state: 'throttled', why: 'one worker was told to come back later' },
    { reports: [{ throttledMs: 0 }], state: 'closed', why: 'the time to come back is over' },
    { reports: [{ throttledMs: 500 }, { breaker: 'half_open' }], state: 'half_open', why: 'the worst counts' },
    { reports: [{ breaker: 'half_open' }, { breaker: 'open' }], state: 'open', why: 'the worst counts' },
  ] as const)('$state: $why', ({ reports, state }) => {
    const { watch, states } = make();
    for (const [index, fields] of reports.entries()) watch.onWorkerBeat(beat(`w${index}`, report('p/m', fields)));
    expect(states()).toEqual({ 'p/m': state });
  });

  test('what was forced goes before what workers say, and is shown where nobody says anything', () => {
    const { watch, states } = make({ forced: [forcedTo('drained', 'p/a', 'why'), forcedTo('disabled', 'p/b')] });
    watch.onWorkerBeat(beat('w', report('p/a', { breaker: 'open' })));
    expect(states()).toEqual({ 'p/a': 'drained', 'p/b': 'disabled' });
    expect(watch.picture().deployments.map(({ forced }) => forced)).toEqual([
      { state: 'drained', since_epoch_ms: 0, note: 'why' },
      { state: 'disabled', since_epoch_ms: 0, note: null },
    ]);
  });

  test('one that is configured and of which nobody reports anything is well', () => {
    expect(make({ configured: ['p/m'] }).states()).toEqual({ 'p/m': 'closed' });
  });
});

test('each worker’s report is told, in flight is their sum, and what was to come is nearer by the age of the beat', () => {
  const { watch, at } = make();
  watch.onWorkerBeat(
    beat(
      'w2',
      report('p/m', { inFlight: 3, breaker: 'open', probeInMs: 5_000, failureRatio: 0.5, checkFailed: 'HTTP 500' }),
    ),
  );
  at(100);
  watch.onWorkerBeat(
    beat(
      'w1',
      report('p/m', { inFlight: 1, ttftMs: 12.6, p95Ms: 40, requests: { room: 2.7, perMinute: 60 }, throttledMs: 50 }),
    ),
  );
  at(200);
  const [deployment] = watch.picture().deployments;
  expect(deployment).toMatchObject({ state: 'open', in_flight: 4, forced: null });
  const none = {
    probe_in_ms: null,
    throttled_ms: null,
    failure_ratio: null,
    ttft_ms: null,
    total_ms: null,
    p95_ms: null,
  };
  const all = { ...none, requests: null, tokens: null, check_failed: null };
  expect(deployment?.workers).toEqual([
    {
      ...all,
      worker: 'w1',
      in_flight: 1,
      breaker: 'closed',
      ttft_ms: 13,
      p95_ms: 40,
      requests: { room: 2, per_minute: 60 },
      throttled_ms: 0,
    },
    {
      ...all,
      worker: 'w2',
      in_flight: 3,
      breaker: 'open',
      probe_in_ms: 4_800,
      failure_ratio: 0.5,
      check_failed: 'HTTP 500',
    },
  ]);
});

test('pools: what workers have, without those that drain, and what waits at any router', () => {
  const { watch } = make();
  const pools = [{ pool: 'p', capacity: 4, inFlight: 1 }];
  watch.onWorkerBeat({ ...beat('w1'), pools });
  watch.onWorkerBeat({ ...beat('w2'), pools, isDraining: true });
  for (const router of ['r1', 'r2'])
    watch.onRouterBeat({ v: 1, router, isDraining: false, spent: [], waiting: { p: 2, q: 1 } });
  watch.onLedgerBeat({ v: 1, ledger: 'l', postgres: 'gone', backlog: 7 });
  expect(watch.picture()).toEqual({
    deployments: [],
    pools: [
      { pool: 'p', workers: 1, capacity: 4, in_flight: 2, waiting: 4 },
      { pool: 'q', workers: 0, capacity: 0, in_flight: 0, waiting: 2 },
    ],
    workers: [
      { worker: 'w1', draining: false, in_flight: 1 },
      { worker: 'w2', draining: true, in_flight: 1 },
    ],
    routers: [
      { router: 'r1', draining: false, waiting: 3 },
      { router: 'r2', draining: false, waiting: 3 },
    ],
    ledgers: [{ ledger: 'l', postgres: 'gone', backlog: 7 }],
  });
});

describe('who is silent', () => {
  test('is dropped, with what it said', () => {
    const { watch, at, states } = make();
    watch.onWorkerBeat(beat('w1', report('p/a', { breaker: 'open' })));
    at(SILENT_AFTER_MS);
    watch.onWorkerBeat(beat('w2', report('p/b')));
    expect(states()).toEqual({ 'p/a': 'open', 'p/b': 'closed' });
    at(SILENT_AFTER_MS + 1);
    expect(states()).toEqual({ 'p/b': 'closed' });
  });

  test('is not dropped for a time in which we were deaf', () => {
    const { watch, at, states } = make();
    watch.onWorkerBeat(beat('w', report('p/a')));
    at(5_000, 4_950);
    at(5_050);
    expect(states()).toEqual({ 'p/a': 'closed' });
  });
});

test('of more instances than the bound the one unheard for longest is forgotten', () => {
  const { watch } = make();
  for (let i = 0; i < 1_024; i++) watch.onWorkerBeat(beat(`w${i}`));
  watch.onWorkerBeat(beat('w0'));
  watch.onWorkerBeat(beat('new'));
  const names = watch.picture().workers.map(({ worker }) => worker);
  expect(names).toHaveLength(1_024);
  expect(names).not.toContain('w1');
  expect(names).toEqual(expect.arrayContaining(['w0', 'new']));
});
