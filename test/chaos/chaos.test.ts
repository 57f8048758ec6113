import { afterAll, beforeAll, expect, test } from 'vitest';
import { FAULTS } from './faults.ts';
import type { Fault } from './faults.ts';
import { runLedgerRounds } from './ledger-rounds.ts';
import { runFault } from './run-fault.ts';
import { System } from './system.ts';

/** The quick ones of `npm run chaos`, briefly, so that the suite itself cannot rot. */
const QUICK = ['provider-500', 'worker-killed', 'ingress-killed'];
const faults = FAULTS.filter(({ name }) => QUICK.includes(name));

let system: System;

beforeAll(async () => {
  system = await System.start({ models: QUICK, isCluster: false, hasRedis: false });
}, 90_000);

afterAll(() => system.stop());

test.each<Fault>(faults)('$name: no request hangs, and each is accounted for', { timeout: 90_000 }, async (fault) => {
  const result = await runFault(fault, system, { seconds: 1 });
  expect({ hung: result.hung, broken: result.broken, problems: result.problems }).toEqual({
    hung: 0,
    broken: 0,
    problems: [],
  });
  expect(result.rows).toBeGreaterThanOrEqual(result.providerRequests);
  expect(result.served).toBeGreaterThan(0);
});

test('the ledger’s account is whole after a part was killed', { timeout: 180_000 }, async () => {
  const { books, problems, providerCalls } = await runLedgerRounds({ rounds: 1, seed: 1, victims: ['worker'] });
  expect(problems).toEqual([]);
  expect(books.rows).toBeGreaterThanOrEqual(providerCalls);
});

test('every fault has a name of its own', () => {
  expect(new Set(FAULTS.map(({ name }) => name)).size).toBe(FAULTS.length);
});
