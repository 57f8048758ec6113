import { describe, expect, test } from 'vitest';
import type { DeploymentHealth, HealthPicture, WorkerHealth } from '../../services/ingress/core/health-picture.ts';
import { healthTables, troublesOf } from './health-tables.ts';

function at(worker: string, fields: Partial<WorkerHealth> = {}): WorkerHealth {
  return {
    ...{ worker, in_flight: 0, breaker: 'closed', probe_in_ms: null, throttled_ms: null, failure_ratio: null },
    ...{ ttft_ms: null, total_ms: null, p95_ms: null, requests: null, tokens: null, check_failed: null, ...fields },
  };
}

function deployment(name: string, fields: Partial<DeploymentHealth> = {}): DeploymentHealth {
  return { deployment: name, state: 'closed', in_flight: 0, workers: [], forced: null, ...fields };
}

function picture(deployments: DeploymentHealth[], fields: Partial<HealthPicture> = {}): HealthPicture {
  return {
    deployments,
    pools: [{ pool: 'p', workers: 2, capacity: 16, in_flight: 3, waiting: 0 }],
    routers: [{ router: 'r', draining: false, waiting: 0 }],
    workers: [
      { worker: 'w1', draining: false, in_flight: 3 },
      { worker: 'w2', draining: true, in_flight: 0 },
    ],
    ledgers: [{ ledger: 'l', postgres: null, backlog: 4 }],
    ...fields,
  };
}

const lineOf = (text: string, begin: string): string => text.split('\n').find((line) => line.startsWith(begin)) ?? '';

describe('what is amiss', () => {
  test.each<{ why: string; with: Partial<HealthPicture>; troubles: string[] }>([
    { why: 'nothing', with: {}, troubles: [] },
    {
      why: 'a breaker is open',
      with: { deployments: [deployment('p/m', { state: 'open' })] },
      troubles: ['p/m is open'],
    },
    {
      why: 'one is disabled',
      with: { deployments: [deployment('p/m', { state: 'disabled' })] },
      troubles: ['p/m is disabled'],
    },
    {
      why: 'one is drained: as wanted',
      with: { deployments: [deployment('p/m', { state: 'drained' })] },
      troubles: [],
    },
    {
      why: 'a limit is used up: it passes',
      with: { deployments: [deployment('p/m', { state: 'throttled' })] },
      troubles: [],
    },
    { why: 'no ledger', with: { ledgers: [] }, troubles: ['no ledger is heard of'] },
    {
      why: 'only draining routers',
      with: { routers: [{ router: 'r', draining: true, waiting: 0 }] },
      troubles: ['no router is heard of'],
    },
    { why: 'no workers', with: { workers: [], pools: [] }, troubles: ['no worker is heard of'] },
    { why: 'a pool is not served', with: { pools: [] }, troubles: ['no worker serves p'] },
    {
      why: 'Postgres',
      with: { ledgers: [{ ledger: 'l', postgres: 'is away', backlog: 0 }] },
      troubles: ['Postgres: is away'],
    },
  ])('$why', ({ with: fields, troubles }) => {
    expect(troublesOf(picture([], fields), ['p'])).toEqual(troubles);
  });
});

test('a gateway in which all is well is a few lines', () => {
  const text = healthTables(picture([deployment('p/a'), deployment('p/b')]), []);
  expect(text.split('\n')).toEqual([
    '2 deployments are not in use.',
    '',
    'pool  workers     busy  waiting',
    'p           2  3 of 16        0',
    '',
    '1 router · 1 worker (1 draining) · 1 ledger, 4 usage events behind',
    'All is well.',
  ]);
});

describe('why a deployment is as it is', () => {
  test.each<{ says: string; of: Partial<DeploymentHealth> }>([
    {
      says: 'breaker open, probe in 5 s; check failed: HTTP 500',
      of: { state: 'open', workers: [at('w1', { breaker: 'open', probe_in_ms: 4_200, check_failed: 'HTTP 500' })] },
    },
    {
      says: 'breaker open at w2, probe in 1 s',
      of: { state: 'open', workers: [at('w1'), at('w2', { breaker: 'open', probe_in_ms: 900 })] },
    },
    { says: 'limit used up, for 30 s', of: { state: 'throttled', workers: [at('w1', { throttled_ms: 29_500 })] } },
    {
      says: 'too slow (since 1970-01-01 00:00:01Z)',
      of: { state: 'drained', forced: { state: 'drained', since_epoch_ms: 1_000, note: 'too slow' } },
    },
  ])('$says', ({ says, of }) => {
    const line = lineOf(healthTables(picture([deployment('p/m', of)]), []), 'p/m');
    expect(line).toContain(says);
  });

  test('of several workers the worst is shown', () => {
    const workers = [
      at('w1', { ttft_ms: 100, p95_ms: 900, failure_ratio: 0.02, requests: { room: 1_200, per_minute: 6_000 } }),
      at('w2', { ttft_ms: 250, p95_ms: 400, failure_ratio: 0, requests: { room: 30, per_minute: 6_000 } }),
    ];
    const line = lineOf(healthTables(picture([deployment('p/m', { in_flight: 7, workers })]), []), 'p/m');
    expect(line).toMatch(/^p\/m +closed +7 +250 ms +900 ms +2 % +30 of 6,000\/min +-$/);
  });
});
