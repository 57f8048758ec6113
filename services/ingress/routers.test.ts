import { expect, test } from 'vitest';
import type { RouterBeat } from '../../shared/messages/beat.ts';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';
import { Routers } from './routers.ts';

function makeRouters() {
  let now = 0;
  const gone: string[] = [];
  const clock = { now: () => now, epochMs: () => now };
  const routers = new Routers(clock, (router) => gone.push(router));
  return { routers, gone, pass: (ms: number) => (now += ms) };
}

function beat(router: string, pools: readonly string[], isDraining = false): RouterBeat {
  return { v: 1, router, isDraining, spent: pools.map((pool) => ({ worker: 'w', pool, spent: 0 })), waiting: {} };
}

test('routers take turns', () => {
  const { routers } = makeRouters();
  routers.onBeat(beat('a', ['p']));
  routers.onBeat(beat('b', ['p']));
  expect(new Set([routers.next(), routers.next()])).toEqual(new Set(['a', 'b']));
});

test('a router that knows no worker is passed by while another knows some', () => {
  const { routers } = makeRouters();
  routers.onBeat(beat('a', ['p']));
  routers.onBeat(beat('new', []));
  expect([routers.next(), routers.next(), routers.next()]).toEqual(['a', 'a', 'a']);
});

test('a router has its turns once it knows a worker', () => {
  const { routers } = makeRouters();
  routers.onBeat(beat('a', ['p']));
  routers.onBeat(beat('new', []));
  routers.onBeat(beat('new', ['p']));
  expect(new Set([routers.next(), routers.next()])).toEqual(new Set(['a', 'new']));
});

test('when no router knows a worker one of them is asked all the same: it has the words for that', () => {
  const { routers } = makeRouters();
  routers.onBeat(beat('new', []));
  expect(routers.next()).toBe('new');
});

test('a pool is there when one router knows a worker of it', () => {
  const { routers } = makeRouters();
  routers.onBeat(beat('a', ['p', 'q']));
  routers.onBeat(beat('new', []));
  expect(routers.pools()).toEqual(new Set(['p', 'q']));
});

test('a silent router is gone, and whoever waits there is told', () => {
  const { routers, gone, pass } = makeRouters();
  routers.onBeat(beat('a', ['p']));
  pass(SILENT_AFTER_MS + 1);
  routers.sweep(SILENT_AFTER_MS + 1, 0);
  expect({ gone, next: routers.next() }).toEqual({ gone: ['a'], next: undefined });
});

test('a router that comes back with a new connection has forgotten who waited, and is asked again', () => {
  const { routers, gone } = makeRouters();
  routers.onBeat({ ...beat('a', ['p']), connection: 1 });
  routers.onBeat({ ...beat('a', ['p']), connection: 2 });
  expect({ gone, next: routers.next() }).toEqual({ gone: ['a'], next: 'a' });
});
