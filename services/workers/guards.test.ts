import { expect, test } from 'vitest';
import type { ProviderConfig } from '../../shared/config.ts';
import { DEFAULT_BREAKER } from '../../shared/config.ts';
import { deploymentOf } from '../../shared/testing/fixtures.ts';
import { Call } from './core/guard.ts';
import { Guards } from './guards.ts';

const MINUTES = 60_000;
const provider = {
  name: 'p',
  breaker: DEFAULT_BREAKER,
  models: new Map([['listed', {}]]),
} as unknown as ProviderConfig;

function guardsOf(): Guards {
  const catalog = { deployment: (id: string) => deploymentOf(id) };
  const onChange = (): void => {};
  return new Guards({ catalog, providers: [provider], random: () => 0.5, onChange, onTransition: onChange });
}

function use(guards: Guards, id: string, now: number): void {
  const call = guards.of(deploymentOf(id), now).admit({ tokens: 0, isStream: false, isLastResort: false }, now);
  if (call instanceof Call) call.ended({ code: null }, 0, now);
}

test('what was idle for ten minutes is forgotten, and only that', () => {
  const guards = guardsOf();
  use(guards, 'p/old', 0);
  use(guards, 'p/young', 5 * MINUTES);
  expect(guards.reports(10 * MINUTES, []).map(({ deployment }) => deployment)).toEqual([]);
  expect([...guards.values()].map(({ deployment }) => deployment)).toEqual(['p/young']);
});

test('a deployment beyond the bound is called, but not remembered', () => {
  const guards = guardsOf();
  for (let i = 0; i < 5_000; i++) use(guards, `p/${i}`, 1);
  expect([...guards.values()]).toHaveLength(4_096);
  const first = guards.of(deploymentOf('p/beyond'), 1);
  expect(guards.of(deploymentOf('p/beyond'), 1)).not.toBe(first);
});

test('of more than a beat can hold, those that are not well are told first', () => {
  const guards = guardsOf();
  for (let i = 0; i < 2_000; i++) use(guards, `p/${i}`, 1);
  const sick = guards.of(deploymentOf('p/1999'), 1);
  for (let i = 0; i < 5; i++) {
    const call = sick.admit({ tokens: 0, isStream: false, isLastResort: false }, 1);
    if (call instanceof Call) call.ended({ code: 'upstream_failed' }, 0, 1);
  }
  const reports = guards.reports(1, []);
  expect(reports).toHaveLength(1_000);
  expect(reports[0]).toMatchObject({ deployment: 'p/1999', breaker: 'open' });
});

test('a failing check is about all deployments of its provider: those in use, those listed, those to come', () => {
  const guards = guardsOf();
  use(guards, 'p/used', 0);
  use(guards, 'other/m', 0);
  guards.checked('p', 'status 500', 1);
  guards.of(deploymentOf('p/new'), 2);
  const states = guards.reports(3, []).map(({ deployment, breaker }) => [deployment, breaker]);
  expect(Object.fromEntries(states)).toEqual({
    'p/used': 'open',
    'p/listed': 'open',
    'p/new': 'open',
    'other/m': 'closed',
  });
});
