import { expect, test } from 'vitest';
import type { Ending, Outcome } from '../support/load.ts';
import { judge } from './judge.ts';
import type { Worst } from './faults.ts';

const ENDINGS = {
  served: { kind: 'served', inputTokens: 1, outputTokens: 1 },
  refused: { kind: 'failed', code: 'no_deployment', hasBegun: false },
  begun: { kind: 'failed', code: 'worker_lost', hasBegun: true },
  closed: { kind: 'closed', why: 'ECONNRESET' },
  hung: { kind: 'hung' },
  broken: { kind: 'broken', why: 'half an error object' },
} as const satisfies Record<string, Ending>;

const outcome = (name: keyof typeof ENDINGS, beganAtMs = 0, tookMs = 100, url = 'http://a'): Outcome => ({
  trace: name,
  requestId: '',
  url,
  ending: ENDINGS[name],
  beganAtMs,
  tookMs,
});
const names = Object.keys(ENDINGS) as (keyof typeof ENDINGS)[];

test.each<{ worst: Worst; problems: readonly string[] }>([
  { worst: 'served', problems: ['refused', 'begun', 'closed', 'hung', 'broken'] },
  { worst: 'begun', problems: ['refused', 'closed', 'hung', 'broken'] },
  { worst: 'clean', problems: ['closed', 'hung', 'broken'] },
  { worst: 'cut', problems: ['hung', 'broken'] },
])('where the worst is "$worst", $problems are problems', ({ worst, problems }) => {
  const found = judge(
    names.map((name) => outcome(name)),
    { worst, url: undefined, atMs: 0, overMs: 0 },
  );
  expect(found.problems.map((text) => text.split(' ')[0])).toEqual(problems);
});

test('when one ingress was struck, the clients of another notice nothing', () => {
  const outcomes = [outcome('closed'), outcome('closed', 0, 100, 'http://b')];
  expect(judge(outcomes, { worst: 'cut', url: 'http://a', atMs: 0, overMs: 0 }).problems).toHaveLength(1);
});

test.each([
  { what: 'nothing failed', outcomes: [outcome('served', 900, 400)], backAfterMs: 0 },
  { what: 'all failures came before its end', outcomes: [outcome('begun', 500, 400)], backAfterMs: 0 },
  { what: 'the last failure came later', outcomes: [outcome('begun', 900, 400)], backAfterMs: 300 },
])('everything is served again $backAfterMs ms after the end of the fault: $what', ({ outcomes, backAfterMs }) => {
  expect(judge(outcomes, { worst: 'begun', url: undefined, atMs: 0, overMs: 1_000 })).toMatchObject({ backAfterMs });
});

test('the latency is that of the requests that ended after the blow', () => {
  const outcomes = [outcome('served', 0, 9_000), outcome('served', 9_000, 1_500), outcome('served', 9_500, 700)];
  expect(judge(outcomes, { worst: 'served', url: undefined, atMs: 9_500, overMs: 9_500 }).p99Ms).toBe(1_500);
});
