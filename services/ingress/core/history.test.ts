import { expect, test } from 'vitest';
import { GatewayError } from '../../../shared/errors.ts';
import type { ErrorCode } from '../../../shared/errors.ts';
import type { Placed } from '../../../shared/messages/envelope.ts';
import { History } from './history.ts';

const placedAt = (deployment: string): Placed => ({
  ...{ v: 1, deployment, pool: 'p', worker: `w-${deployment}`, router: 'r', slot: 1 },
  ...{ route: null, reason: 'ordered', queueMs: 5 },
});

function fail(history: History, deployment: string, code: ErrorCode, isAttempt = true, attempt?: number): void {
  const placed = placedAt(deployment);
  const number = attempt ?? history.begin(placed);
  history.fail(new GatewayError(code, 'failed'), { placed, attempt: number }, { costNanoUsd: 7, isAttempt });
}

test('attempts are counted, named and paid for', () => {
  const history = new History();
  fail(history, 'a/m', 'upstream_failed');
  fail(history, 'b/m', 'upstream_throttled');
  expect(history).toMatchObject({ attempts: 2, queueMs: 10, costNanoUsd: 14 });
  expect(history.failures).toEqual(['a/m=upstream_failed', 'b/m=upstream_throttled']);
  expect(history.earlier).toEqual([
    { deployment: 'a/m', code: 'upstream_failed' },
    { deployment: 'b/m', code: 'upstream_throttled' },
  ]);
  expect(history.lastFailure?.code).toBe('upstream_throttled');
});

test('of very many failures the oldest are told', () => {
  const history = new History();
  for (let i = 0; i < 100; i++) fail(history, `p/${i}`, 'upstream_failed');
  expect(history.earlier).toHaveLength(16);
  expect(history.earlier[0]).toMatchObject({ deployment: 'p/0' });
});

test('a task that was declined is no attempt, and its number is used again', () => {
  const history = new History();
  fail(history, 'a/m', 'worker_busy', false);
  expect(history).toMatchObject({ attempts: 0, failures: [], lastFailure: undefined });
  expect(history.begin(placedAt('b/m'))).toBe(1);
});

test('its number stays used while a later attempt runs beside it', () => {
  const history = new History();
  const first = history.begin(placedAt('a/m'));
  history.begin(placedAt('b/m'));
  fail(history, 'a/m', 'worker_busy', false, first);
  expect({ attempts: history.attempts, next: history.begin(placedAt('c/m')) }).toEqual({ attempts: 1, next: 3 });
});

test('a limit of our own is told only where nothing else went wrong', () => {
  const history = new History();
  fail(history, 'a/m', 'deployment_throttled', false);
  expect(history.lastFailure?.code).toBe('deployment_throttled');
  fail(history, 'b/m', 'upstream_failed');
  fail(history, 'a/m', 'deployment_throttled', false);
  expect(history.lastFailure?.code).toBe('upstream_failed');
});

test('in a new round only those stay out who would fail again', () => {
  const history = new History();
  for (const code of ['upstream_failed', 'upstream_unauthorized', 'worker_lost', 'worker_busy'] as const)
    fail(history, `${code}/m`, code);
  history.beginRound();
  expect(history.tried.map(({ code }) => code)).toEqual(['upstream_unauthorized', 'worker_lost']);
});

test('no more than eight failures are named', () => {
  const history = new History();
  for (let i = 0; i < 20; i++) fail(history, `${i}/m`, 'upstream_failed');
  expect(history.failures).toHaveLength(8);
});
