import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import type { LeaseGrant } from '../../../shared/messages/lease.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { Database } from '../database/schema.ts';
import { expire, makeBudget, recordAndMove, setUpBudgets } from '../testing/budget-setup.ts';
import type { BudgetSetup } from '../testing/budget-setup.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { BalanceMemory } from './balance-memory.ts';
import { grantLeases } from './grant.ts';
import { reapBudgets } from './reap.ts';
import { applyReports } from './report.ts';

const log = createLog('silent', 'test');
const LEDGERS = 3;
const NEED = 10;
let setup: BudgetSetup;

beforeAll(async () => {
  setup = await setUpBudgets(log, LEDGERS);
});

afterAll(async () => {
  await setup.stop();
});

/** An ingress as the contract has it: it reserves within its leases, and reports what it consumed and reserved. */
class ModelIngress {
  readonly id: string;
  readonly held: { readonly grant: LeaseGrant; reserved: number; consumed: number; isClosed: boolean }[] = [];

  constructor(id: string) {
    this.id = id;
  }

  /** One reservation of `NEED` in each of the budgets, from one lease of each; undefined where one has no room. */
  reserve(budgets: readonly string[]): string[] | undefined {
    const leases = budgets.map((budget) =>
      this.held.find(
        ({ grant, reserved, consumed, isClosed }) =>
          !isClosed && grant.budget === budget && grant.amountNanoUsd - reserved - consumed >= NEED,
      ),
    );
    if (leases.some((lease) => lease === undefined)) return undefined;
    return leases.flatMap((lease) => {
      if (lease === undefined) return [];
      lease.reserved += NEED;
      return lease.grant.lease;
    });
  }

  settle(leases: readonly string[], cost: number): void {
    for (const lease of this.held) {
      if (!leases.includes(lease.grant.lease)) continue;
      lease.reserved -= NEED;
      lease.consumed += cost;
    }
  }
}

type Step =
  | { readonly kind: 'ask'; readonly ingress: number; readonly want: number }
  | { readonly kind: 'attempt'; readonly ingress: number; readonly cost: number }
  | { readonly kind: 'deliver'; readonly count: number; readonly isAgain: boolean }
  | { readonly kind: 'report'; readonly ingress: number; readonly isClosed: boolean }
  | { readonly kind: 'reap' };

const ingress = fc.nat({ max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('ask'), ingress, want: fc.nat({ max: 100 }) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('attempt'), ingress, cost: fc.nat({ max: NEED }) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('deliver'), count: fc.nat({ max: 8 }), isAgain: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('report'), ingress, isClosed: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reap') }) },
);

interface Balance {
  readonly budget_id: string;
  readonly subject: string;
  readonly limit: bigint;
  readonly spent: bigint;
  readonly leased: bigint;
  readonly excess: bigint;
  readonly open: bigint;
}

async function balancesOf(db: Database, budgets: readonly string[]): Promise<Balance[]> {
  const { rows } = await sql<Balance>`
    select w.budget_id, w.subject, w.limit_nano_usd as limit, w.spent_nano_usd as spent, w.leased_nano_usd as leased,
      w.excess_nano_usd as excess, (
        select coalesce(sum(l.amount_nano_usd - l.settled_nano_usd), 0)::bigint from budget_leases l
        where (l.budget_id, l.subject, l.starts_at) = (w.budget_id, w.subject, w.starts_at)
      ) as open
    from budget_windows w where w.budget_id = any(${budgets}) order by w.subject`.execute(db);
  return rows;
}

test('whatever is granted, reported, recorded twice or closed, in any order and by several ledgers: balances are the sum of events, and nothing is overshot', async () => {
  const steps = fc.array(fc.tuple(step, fc.nat({ max: LEDGERS - 1 })), { minLength: 10, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 5 }), async (plan, wide) => {
      const team = `team-${crypto.randomUUID()}`;
      const hard = await makeBudget(setup.db, { scope: `team:${team}`, per: 'total', amountNanoUsd: 155 });
      const each = await makeBudget(setup.db, {
        scope: 'team:*',
        per: 'rolling',
        rollingMs: 3_600_000,
        amountNanoUsd: 300,
      });
      const soft = await makeBudget(setup.db, {
        scope: `team:${team}`,
        per: 'total',
        amountNanoUsd: 50,
        isHard: false,
      });
      const leased = [hard.id, each.id];
      const ingresses = [0, 1, 2].map((n) => new ModelIngress(`ing-${n}`));
      const memories = setup.ledgers.map(() => new BalanceMemory());
      const sent: UsageRecorded[] = [];
      let waiting: UsageRecorded[] = [];

      const run = async ([what, ledger]: [Step, number]): Promise<void> => {
        const db = setup.ledgers[ledger] ?? setup.db;
        const memory = memories[ledger] ?? new BalanceMemory();
        const asking = 'ingress' in what ? ingresses[what.ingress] : undefined;
        if (what.kind === 'ask' && asking !== undefined) {
          const items = leased.map((budget) => ({ budget, subject: `team:${team}`, need: NEED, want: what.want }));
          const [answer] = await grantLeases(db, [{ v: 1, ingress: asking.id, items }], 3);
          for (const grant of answer?.grants ?? [])
            asking.held.push({ grant, reserved: 0, consumed: 0, isClosed: false });
        } else if (what.kind === 'attempt' && asking !== undefined) {
          const leases = asking.reserve(leased);
          if (leases === undefined) return;
          const admittedEpochMs = Date.now();
          const event = usageEvent({ team, ingress: asking.id, leases, admittedEpochMs, costNanoUsd: what.cost });
          asking.settle(leases, what.cost);
          waiting.push(event);
        } else if (what.kind === 'deliver') {
          const now = waiting.splice(0, what.count);
          sent.push(...now);
          await recordAndMove(db, what.isAgain ? [...now, ...sent.slice(-3)] : now, { memory });
        } else if (what.kind === 'report' && asking !== undefined) {
          const leases = asking.held
            .filter(({ isClosed }) => !isClosed)
            .map((lease) => {
              lease.isClosed = what.isClosed;
              const { grant, reserved, consumed, isClosed } = lease;
              return { lease: grant.lease, keep: isClosed ? reserved + consumed : grant.amountNanoUsd, isClosed };
            });
          await applyReports(db, [{ v: 1, ingress: asking.id, leases }]);
        } else if (what.kind === 'reap') {
          await reapBudgets(db, 0);
        }
      };
      // Neighbours run at the same time, but never two of one ingress.
      const pending = [...plan];
      while (pending.length > 0) {
        const group = pending.splice(0, wide);
        const seen = new Set<number>();
        const together = group.filter(([what]) => {
          if (!('ingress' in what)) return true;
          const isFirst = !seen.has(what.ingress);
          seen.add(what.ingress);
          return isFirst;
        });
        await Promise.all(together.map(run));
        for (const { spent, leased, limit, excess, open, budget_id } of await balancesOf(setup.db, [
          hard.id,
          each.id,
        ])) {
          expect({ budget_id, isCovered: spent + leased <= limit, excess }).toEqual({
            budget_id,
            isCovered: true,
            excess: 0n,
          });
          expect(leased).toBe(open);
        }
      }

      // Everybody dies; what they did is told, then their leases run out.
      sent.push(...waiting);
      await Promise.all(setup.ledgers.map((ledger) => recordAndMove(ledger, sent)));
      waiting = [];
      for (const { held } of ingresses) for (const { grant } of held) await expire(setup.db, grant.lease, 10_000);
      await reapBudgets(setup.db, 0);
      const total = BigInt(sent.reduce((sum, { costNanoUsd }) => sum + (costNanoUsd ?? 0), 0));
      for (const balance of await balancesOf(setup.db, [hard.id, each.id, soft.id])) {
        expect(balance).toMatchObject({ spent: total, leased: 0n, open: 0n });
        const isHard = balance.budget_id !== soft.id;
        expect(balance.excess).toBe(isHard || total <= 50n ? 0n : total - 50n);
      }
    }),
    { numRuns: 20, endOnFailure: true },
  );
}, 120_000);
