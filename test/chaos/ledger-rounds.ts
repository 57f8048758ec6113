import { setTimeout as sleep } from 'node:timers/promises';
import { seeded } from '../../shared/testing/seeded.ts';
import { Load, summary } from '../support/load.ts';
import { reconcile } from '../support/reconcile.ts';
import type { Books } from './books.ts';
import { faultsOf, settledBooks } from './books.ts';
import { System, TOKENS } from './system.ts';

export const VICTIMS = ['worker', 'ledger', 'postgres', 'nats', 'redis', 'worker and ingress'] as const;
export type Victim = (typeof VICTIMS)[number];

/** The route that all requests name, and what the providers call it. */
const MODEL = 'rounds';
const LANES = 16;
/** Between two blows there is always some traffic that is served. */
const SERVED_BETWEEN = 8;
const BACK_WITHIN_MS = 60_000;
const MOMENT_MS = 1_000;
const DOWN_MS = { least: 200, more: 1_800 };
/** A dead ingress' leases expire after 15 s, and are closed 5 s later; a dead worker's attempts are closed after 15 s. */
const SETTLED_WITHIN_MS = 90_000;

export interface Round {
  readonly round: number;
  readonly victim: Victim;
  /** After the last round's load was steady, when the blow fell. */
  readonly afterMs: number;
  readonly downMs: number;
  /** Requests that ended in this round, and those that were served. */
  readonly asked: number;
  readonly served: number;
}

export interface LedgerResult {
  readonly rounds: readonly Round[];
  readonly books: Books;
  readonly versions: { readonly nats: string; readonly postgres: string };
  readonly providerCalls: number;
  readonly hung: number;
  /** Everything that is not as it must be; empty: the account is right. */
  readonly problems: readonly string[];
}

export interface LedgerRoundsOptions {
  readonly rounds: number;
  readonly seed: number;
  /** Who may be struck; default: all. */
  readonly victims?: readonly Victim[] | undefined;
  readonly onProgress?: (text: string) => void;
  readonly onRound?: (round: Round) => void;
}

/**
 * `kill -9` of one part after the other, at random moments under load, then the reconciliation: the provider's calls, the
 * rows, the balances of every budget and the rollups must say the same, and every reservation must have returned.
 */
export async function runLedgerRounds(options: LedgerRoundsOptions): Promise<LedgerResult> {
  const system = await System.start({
    models: [MODEL],
    isCluster: false,
    hasRedis: true,
    instances: { ledger: 2, router: 2, worker: 2, ingress: 2 },
    yaml: BUDGETS,
  });
  try {
    return await runRounds(system, options);
  } finally {
    await system.stop();
  }
}

/** One of each sort, none of which is used up: what they hold back would be traffic that is not there to be lost. */
const BUDGETS = `
budgets:
  - { scope: total, amount: "1000 USD", per: month }
  - { scope: "team:testers", amount: "1000 USD", per: { rolling: 24h } }
  - { scope: "key:test", amount: "1000 USD", per: total }
  - { scope: "route:${MODEL}", amount: "1000 USD", per: week, hard: false }
  - { scope: "key:*", amount: "1000 USD", per: total }
limits: { total: { requests_per_minute: 1000000, tokens_per_minute: 1000000000 }, per_key: { concurrent: 1000 } }
`;

async function runRounds(system: System, options: LedgerRoundsOptions): Promise<LedgerResult> {
  const { rounds: count, seed, victims = VICTIMS, onProgress = () => undefined, onRound = () => undefined } = options;
  const random = seeded(seed);
  const { gateway } = system;
  await gateway.untilWhole();
  const urls = (): string[] => gateway.urls();
  const load = Load.start({ urls, model: MODEL, tokens: TOKENS, lanes: LANES, countsResets: true });
  const rounds: Round[] = [];
  const problems: string[] = [];
  try {
    for (let round = 1; round <= count; round++) {
      const victim = victims[Math.floor(random() * victims.length)] ?? 'worker';
      const from = load.outcomes.length;
      onProgress(`${round}/${count} ${victim}: ${summary(load.outcomes)}`);
      await load.served(SERVED_BETWEEN, BACK_WITHIN_MS);
      const afterMs = Math.round(random() * MOMENT_MS);
      const downMs = Math.round(DOWN_MS.least + random() * DOWN_MS.more);
      await sleep(afterMs);
      const mend = await strike(victim, system);
      await sleep(downMs);
      await mend();
      await load.served(SERVED_BETWEEN, BACK_WITHIN_MS);
      const ended = load.outcomes.slice(from);
      const served = ended.filter(({ ending }) => ending.kind === 'served').length;
      const done = { round, victim, afterMs, downMs, asked: ended.length, served };
      rounds.push(done);
      onRound(done);
    }
  } catch (failure) {
    problems.push(failure instanceof Error ? failure.message : String(failure));
  } finally {
    await load.stop();
  }
  const outcomes = await load.stop();
  onProgress('reconciling');
  const where = { databaseUrl: system.postgres.url, provider: system.provider, timeoutMs: SETTLED_WITHIN_MS };
  const { providerRequests, faults } = await reconcile({ upstreamModel: MODEL, outcomes }, where);
  const books = await settledBooks(system.postgres.url, SETTLED_WITHIN_MS);
  const hung = outcomes.filter(({ ending }) => ending.kind === 'hung').length;
  const broken = outcomes.filter(({ ending }) => ending.kind === 'broken');
  return {
    ...{ rounds, books, hung, providerCalls: providerRequests },
    versions: { nats: system.nats[0]?.version ?? '', postgres: system.postgres.version },
    problems: [
      ...problems,
      ...(hung === 0 ? [] : [`${hung} requests had no end`]),
      ...broken.map(({ trace, ending }) => `${trace}: ${JSON.stringify(ending)}`),
      ...faults.map((text) => `unaccounted: ${text}`),
      ...faultsOf(books),
    ],
  };
}

/** @returns how it is mended */
async function strike(victim: Victim, { gateway, postgres, nats, redis }: System): Promise<() => Promise<unknown>> {
  const server = { postgres, nats: nats[0], redis };
  switch (victim) {
    case 'worker':
    case 'ledger':
      await gateway.one(victim).kill9();
      return () => gateway.add(victim);
    case 'worker and ingress':
      await Promise.all([gateway.one('worker').kill9(), gateway.one('ingress').kill9()]);
      return () => Promise.all([gateway.add('worker'), gateway.add('ingress')]);
    case 'postgres':
    case 'nats':
    case 'redis':
      await server[victim]?.kill9();
      return async () => server[victim]?.startAgain();
  }
}
