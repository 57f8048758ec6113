import { beforeEach, describe, expect, test } from 'vitest';
import type { DeploymentReport } from '../../../shared/messages/beat.ts';
import { HealthTable } from './health-table.ts';

let health: HealthTable;
let forced: Record<string, 'drained' | 'disabled'>;
beforeEach(() => {
  forced = {};
  health = new HealthTable('rtr', (deployment) => forced[deployment]);
});

const report = (fields: Partial<DeploymentReport> = {}): DeploymentReport => ({
  ...{ deployment: 'd', inFlight: 0, breaker: 'closed' },
  ...fields,
});
/** Tells it of `d` at the worker `w`. */
const tell = (fields: Partial<DeploymentReport>, now = 0, worker = 'w'): string[] =>
  health.update(worker, [report(fields)], now);
const isUsable = (now: number, tokens = 0, worker = 'w'): boolean => health.isUsableAt('d', worker, tokens, now);

describe('whether a worker would take it', () => {
  test('nothing is told: yes', () => {
    expect(isUsable(0)).toBe(true);
    expect(health.usableAt('d', ['w'], 0, 5)).toBe(5);
    expect(health.isUnrestricted('d', 0)).toBe(true);
  });

  test('an open breaker: not before its probe, and then one until the worker tells what became of it', () => {
    tell({ breaker: 'open', probeInMs: 1_000 });
    expect(isUsable(999)).toBe(false);
    expect(health.usableAt('d', ['w'], 0, 0)).toBe(1_000);
    expect(isUsable(1_000)).toBe(true);
    health.placed('d', 'w', 0, 1_000);
    expect(isUsable(1_001)).toBe(false);
    tell({ breaker: 'half_open', probeInMs: 0 }, 1_300);
    expect(isUsable(1_300)).toBe(true);
    tell({ breaker: 'closed' }, 1_400);
    expect(isUsable(1_400)).toBe(true);
  });

  test('half-open without a time for the next probe: one is under way, nobody else may come', () => {
    tell({ breaker: 'half_open' });
    expect(isUsable(5_000)).toBe(false);
    tell({ breaker: 'half_open', probeInMs: 0 }, 5_000);
    expect(isUsable(5_000)).toBe(true);
  });

  test('a report that crossed the probe on its way does not free another', () => {
    tell({ breaker: 'half_open', probeInMs: 0 });
    health.placed('d', 'w', 0, 10);
    tell({ breaker: 'half_open', probeInMs: 0 }, 12);
    expect(isUsable(13)).toBe(false);
    tell({ breaker: 'half_open', probeInMs: 0 }, 250);
    expect(isUsable(251)).toBe(true);
  });

  test('an open breaker is one worker’s: another one takes it', () => {
    tell({ breaker: 'open', probeInMs: 1_000 });
    expect(isUsable(0, 0, 'v')).toBe(true);
    expect(health.usableAt('d', ['w', 'v'], 0, 0)).toBe(0);
    expect(health.isShutAt('d', ['w', 'v'], 0)).toBe(false);
    expect(health.isShutAt('d', ['w'], 0)).toBe(true);
  });

  test('a 429 holds for every worker, until the latest time that any was told', () => {
    tell({ throttledMs: 1_000 });
    tell({ throttledMs: 200 }, 0, 'v');
    expect(isUsable(999, 0, 'u')).toBe(false);
    expect(isUsable(1_000, 0, 'u')).toBe(true);
    // "Later" is not "broken".
    expect(health.isShutAt('d', ['w', 'v'], 0)).toBe(false);
  });

  test('a request that was sent back tells before the worker does', () => {
    health.throttle('d', 500);
    expect(isUsable(499)).toBe(false);
    expect(isUsable(500)).toBe(true);
  });

  test('a failed check: no, for as long as it fails', () => {
    tell({ checkFailed: 'no answer' });
    expect(health.usableAt('d', ['w'], 0, 1e9)).toBe(Infinity);
    expect(health.isShutAt('d', ['w'], 0)).toBe(true);
    tell({ checkFailed: null }, 10);
    expect(isUsable(10)).toBe(true);
  });

  test('its room in requests, less what was placed since, and more as time goes by', () => {
    tell({ requests: { room: 2, perMinute: 60 } });
    health.placed('d', 'w', 0, 0);
    expect(isUsable(0)).toBe(true);
    health.placed('d', 'w', 0, 0);
    expect(isUsable(0)).toBe(false);
    expect(health.usableAt('d', ['w'], 0, 0)).toBe(1_000);
    expect(isUsable(1_000)).toBe(true);
  });

  test('its slow start: as many as are for this router, and then none until it tells of more', () => {
    tell({ starts: { rtr: 2, other: 1 } });
    expect(health.isUnrestricted('d', 0)).toBe(false);
    health.placed('d', 'w', 0, 0);
    expect(isUsable(0)).toBe(true);
    health.placed('d', 'w', 0, 0);
    expect(isUsable(9_999)).toBe(false);
    expect(health.usableAt('d', ['w'], 0, 0)).toBe(Infinity);
    expect(health.usableAt('d', ['w', 'v'], 0, 0)).toBe(0);
    // "Later" is not "broken".
    expect(health.isShutAt('d', ['w'], 0)).toBe(false);
    tell({ starts: { other: 1 } }, 10);
    expect(isUsable(10)).toBe(false);
    tell({}, 20);
    expect(isUsable(20)).toBe(true);
  });

  test('its room in tokens; more than a minute’s worth waits for a full bucket, not for ever', () => {
    tell({ tokens: { room: 500, perMinute: 6_000 } });
    expect(isUsable(0, 500)).toBe(true);
    expect(isUsable(0, 501)).toBe(false);
    expect(health.usableAt('d', ['w'], 1_500, 0)).toBe(10_000);
    expect(health.usableAt('d', ['w'], 1_000_000, 0)).toBe(55_000);
  });

  test('a limit that is far away is none for what is promised ahead', () => {
    tell({ requests: { room: 600, perMinute: 1_000 } });
    expect(health.isUnrestricted('d', 0)).toBe(true);
    tell({ requests: { room: 600, perMinute: 1_000 }, tokens: { room: 400, perMinute: 1_000 } });
    expect(health.isUnrestricted('d', 0)).toBe(false);
  });

  test('what an operator has forced', () => {
    forced['d'] = 'drained';
    expect(health.isForced('d')).toBe(true);
    expect(health.isUnrestricted('d', 0)).toBe(false);
  });
});

describe('what is news', () => {
  test('a state that became worse, once', () => {
    expect(tell({})).toEqual([]);
    expect(tell({ breaker: 'open', probeInMs: 100 }, 10)).toEqual(['d']);
    expect(tell({ breaker: 'open', probeInMs: 90 }, 20)).toEqual([]);
    expect(tell({ breaker: 'closed' }, 30)).toEqual([]);
    expect(tell({ throttledMs: 100 }, 40)).toEqual(['d']);
    expect(tell({ throttledMs: 90 }, 50)).toEqual([]);
  });

  test('a slow start that takes one more', () => {
    expect(tell({ starts: { rtr: 0 } })).toEqual([]);
    expect(tell({ starts: { rtr: 1 } })).toEqual(['d']);
    expect(tell({ starts: { rtr: 2 } })).toEqual([]);
    expect(tell({ starts: {} })).toEqual([]);
    expect(tell({})).toEqual(['d']);
  });

  test('what a worker no longer tells of is well; what nobody tells of is forgotten', () => {
    tell({ breaker: 'open', probeInMs: 1e6 });
    health.update('w', [], 1);
    expect(isUsable(1)).toBe(true);
    tell({ breaker: 'open', probeInMs: 1e6 });
    health.removeWorker('w');
    expect(isUsable(1)).toBe(true);
    health.sweep(1);
    expect(health.load('d', true, 1)).toBe(0);
  });
});

describe('load', () => {
  test('latency × (in flight + 1): of streams by the first token, of plain answers by the whole', () => {
    tell({ inFlight: 3, ttftMs: 100, totalMs: 900 });
    expect(health.load('d', true, 0)).toBe(400);
    expect(health.load('d', false, 0)).toBe(3_600);
  });

  test('what was placed since the report counts', () => {
    tell({ inFlight: 3, ttftMs: 100 });
    health.placed('d', 'w', 0, 0);
    expect(health.load('d', true, 0)).toBe(500);
  });

  test('over its workers: all in flight, at the mean latency', () => {
    tell({ inFlight: 1, ttftMs: 100 });
    tell({ inFlight: 2, ttftMs: 300 }, 0, 'v');
    expect(health.load('d', true, 0)).toBe(800);
  });

  test('it decays from the report on', () => {
    tell({ ttftMs: 100 });
    expect(health.load('d', true, 10_000)).toBeCloseTo(100 / Math.E);
  });

  test('unknown and idle is free, unknown and busy is worse than anything', () => {
    expect(health.load('d', true, 0)).toBe(0);
    tell({ inFlight: 1 });
    expect(health.load('d', true, 0)).toBeGreaterThan(1e9);
  });

  test('the p95 is that of the slowest worker', () => {
    expect(health.p95('d')).toBeUndefined();
    tell({ p95Ms: 100 });
    tell({ p95Ms: 300 }, 0, 'v');
    expect(health.p95('d')).toBe(300);
  });
});
