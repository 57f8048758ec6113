import { expect, test } from 'vitest';
import { Figures, figure, latency } from './figures.ts';
import type { Measurement } from './measure.ts';
import { summarise } from './profile.ts';
import { chatBody } from './scenarios.ts';

test.each([
  { values: [3], expected: { median: 3, min: 3, max: 3 }, why: 'one round' },
  { values: [4, 1], expected: { median: 2.5, min: 1, max: 4 }, why: 'between the two in the middle' },
  { values: [9, 1, 2], expected: { median: 2, min: 1, max: 9 }, why: 'the one in the middle' },
  { values: [NaN, 5], expected: { median: 5, min: 5, max: 5 }, why: 'a round without the figure' },
  { values: [NaN], expected: undefined, why: 'nothing to tell' },
])('the median of $values ($why)', ({ values, expected }) => {
  expect(figure(values)).toEqual(expected);
});

test('a window is compared with the other one of its round', () => {
  const window = (scenario: Measurement['scenario'], round: number, p99: number) =>
    ({ scenario, side: 'sluice', round, load: { lat_ms: { p99 } } }) as Measurement;
  const figures = new Figures([
    window('hang-before', 1, 2),
    window('hang-during', 1, 3),
    window('hang-before', 2, 10),
    window('hang-during', 2, 5),
    window('hang-during', 3, 7),
  ]);
  const ratio = figures.ofOther(['hang-during', 'hang-before'], 'sluice', latency('p99'));
  expect(ratio).toEqual({ median: 1, min: 0.5, max: 1.5 });
});

test.each([1_000, 8_000] as const)('a body of %d bytes is about that long', (bytes) => {
  const { length } = chatBody('mock/gpt-4o-mini', bytes, false);
  expect(length / bytes).toBeGreaterThan(0.85);
  expect(length / bytes).toBeLessThan(1.1);
});

test('a profile counts self time by function and by package, and not what was idle', () => {
  const frame = (functionName: string, url: string) => ({ functionName, url, lineNumber: 0 });
  const summary = summarise(
    {
      nodes: [
        { id: 1, callFrame: frame('(idle)', '') },
        { id: 2, callFrame: frame('parse', 'file:///home/me/sluice/node_modules/nats/lib/parser.js') },
        { id: 3, callFrame: frame('data', 'file:///home/me/sluice/services/ingress/relay.ts') },
      ],
      samples: [1, 2, 3, 3],
      timeDeltas: [10_000, 1_000, 1_000, 2_000],
    },
    10,
  );
  expect(summary.busyMs).toBe(4);
  expect(summary.packages).toEqual([
    { name: 'services/ingress', selfMs: 3, ratio: 0.75 },
    { name: 'nats', selfMs: 1, ratio: 0.25 },
  ]);
  expect(summary.functions[0]?.name).toBe('data services/ingress/relay.ts:1');
});
