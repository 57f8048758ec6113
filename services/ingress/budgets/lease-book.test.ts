import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import type { Quote } from '../core/quote.ts';
import { LedgerModel } from '../testing/ledger-model.ts';
import type { ApplicableBudget } from '../core/scope-ruling.ts';
import { LeaseBook, OverBudget } from './lease-book.ts';
import { Reservation } from './reservation.ts';

const log = createLog('silent', 'test');
const quoteOf = (nanoUsd: number): Quote => ({ nanoUsd, inputNanoUsd: 0, outputRate: 1e6, hasUnpriced: false });
const itemOf = (id: string, subject = 'total'): ApplicableBudget => ({
  terms: { id, name: id, scope: subject, isHard: true, onLimit: { kind: 'reject' } },
  subject,
});

let now = 0;
const clock = { now: () => now, epochMs: () => 1_000_000 + now };
let model: LedgerModel;

beforeEach(() => {
  now = 0;
  model = new LedgerModel();
});

/** What the ledger thinks is leased is what the ingresses hold; nothing was ever overshot, or the model would have thrown. */
afterEach(() => {
  for (const [key, { limit, spent }] of model.budgets) expect(model.leased(key) + spent).toBeLessThanOrEqual(limit);
});

function ingress(name: string): LeaseBook {
  const book = new LeaseBook({ ledger: model.door(name), clock, log });
  model.ingresses.set(name, (budget, subject) => book.giveBack(budget, subject));
  return book;
}

const turns = async (count = 20): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

async function reserved(book: LeaseBook, items: readonly ApplicableBudget[], nanoUsd: number): Promise<Reservation> {
  const outcome = book.reserve(items, quoteOf(nanoUsd)) ?? (await book.reserveLater(items, quoteOf(nanoUsd)));
  if (outcome instanceof OverBudget) throw new Error('over budget');
  return outcome;
}

describe('a request', () => {
  test('is reserved after the ledger was asked, the next ones from what it granted', async () => {
    model.budget('b', 'total', 1_000_000);
    const book = ingress('a');
    const items = [itemOf('b')];
    expect(book.reserve(items, quoteOf(10))).toBeUndefined();
    const all = await Promise.all(Array.from({ length: 50 }, () => book.reserveLater(items, quoteOf(10))));
    expect(all.every((one) => one instanceof Reservation)).toBe(true);
    // One question for the first, one for all that came meanwhile, and what is asked ahead.
    expect(model.asks).toBeLessThan(5);
    await turns();
    const asks = model.asks;
    for (let i = 0; i < 10; i++) expect(book.reserve(items, quoteOf(10))).toBeInstanceOf(Reservation);
    expect(model.asks).toBe(asks);
  });

  test('is reserved in all of its budgets or in none', async () => {
    model.budget('b', 'total', 1_000);
    const small = model.budget('c', 'team:x', 5);
    const book = ingress('a');
    const items = [itemOf('c', 'team:x'), itemOf('b')];
    const outcome = await book.reserveLater(items, quoteOf(10));
    expect(outcome).toMatchObject({ item: items[0], needNanoUsd: 10, refusal: { budget: 'c', limitNanoUsd: 5 } });
    small.limit = 1_000;
    now += 1_000;
    const reservation = await reserved(book, items, 10);
    expect(reservation.leaseIds).toHaveLength(2);
    expect(model.leased('b total')).toBe(model.leased('c team:x'));
  });

  test('that costs nothing needs no money', () => {
    expect(ingress('a').reserve([itemOf('b')], quoteOf(0))).toBeInstanceOf(Reservation);
  });

  test('takes no account of a budget that is gone', async () => {
    model.budget('b', 'total', 10);
    const reservation = await reserved(ingress('a'), [itemOf('b'), itemOf('gone')], 10);
    expect(reservation.leaseIds).toHaveLength(1);
  });

  test('is told by the first of its budgets that has too little left, and at once for a while after', async () => {
    model.budget('b', 'total', 5);
    const book = ingress('a');
    expect(await book.reserveLater([itemOf('b')], quoteOf(10))).toBeInstanceOf(OverBudget);
    const { asks } = model;
    expect(await book.reserveLater([itemOf('b')], quoteOf(10))).toBeInstanceOf(OverBudget);
    expect(model.asks).toBe(asks);
    expect(await book.reserveLater([itemOf('b')], quoteOf(5))).toBeInstanceOf(Reservation);
  });

  test('that needs less is served although one before it was refused', async () => {
    model.budget('b', 'total', 5);
    const book = ingress('a');
    const [large, small] = await Promise.all([
      book.reserveLater([itemOf('b')], quoteOf(10)),
      book.reserveLater([itemOf('b')], quoteOf(5)),
    ]);
    expect(large).toBeInstanceOf(OverBudget);
    expect(small).toBeInstanceOf(Reservation);
  });

  test('is told that the ledger is away, while what is held still serves', async () => {
    model.budget('b', 'total', 10_000);
    const book = ingress('a');
    (await reserved(book, [itemOf('b')], 10)).release();
    model.isAway = true;
    expect(book.reserve([itemOf('b')], quoteOf(10))).toBeInstanceOf(Reservation);
    const refusal = expect.objectContaining({ code: 'ledger_unavailable', retryAfterMs: 1_000 }) as Error;
    await expect(book.reserveLater([itemOf('b')], quoteOf(5_000))).rejects.toThrow(refusal);
    now += 15_000;
    expect(book.reserve([itemOf('b')], quoteOf(1))).toBeUndefined();
    model.isAway = false;
    expect(await book.reserveLater([itemOf('b')], quoteOf(10))).toBeInstanceOf(Reservation);
  });

  test('waits two seconds for a ledger that says nothing', async () => {
    const silent = { ...model.door('a'), ask: () => new Promise<never>(() => undefined) };
    const book = new LeaseBook({ ledger: silent, clock, log });
    const outcome = book.reserveLater([itemOf('b')], quoteOf(1));
    book.sweep(1_999);
    expect(book.waiting).toBe(1);
    now = 2_000;
    book.sweep(now);
    await expect(outcome).rejects.toThrow(expect.objectContaining({ code: 'ledger_unavailable' }) as Error);
    expect(book.waiting).toBe(0);
  });
});

describe('money', () => {
  test('that was not spent is free again at once, and is reserved once', async () => {
    model.budget('b', 'total', 100);
    const book = ingress('a');
    const first = await reserved(book, [itemOf('b')], 100);
    expect(book.reserve([itemOf('b')], quoteOf(1))).toBeUndefined();
    first.settle(40);
    first.settle(0);
    first.release();
    expect(book.reserve([itemOf('b')], quoteOf(61))).toBeUndefined();
    expect(book.reserve([itemOf('b')], quoteOf(60))).toBeInstanceOf(Reservation);
  });

  test('that an attempt cost beyond its reservation is taken from what is free', async () => {
    model.budget('b', 'total', 10_000);
    const book = ingress('a');
    await Promise.all(Array.from({ length: 10 }, () => reserved(book, [itemOf('b')], 10)));
    const all = await Promise.all(Array.from({ length: 10 }, () => reserved(book, [itemOf('b')], 10)));
    const before = model.leased('b total');
    for (const one of all) one.settle(10_000);
    expect(book.reserve([itemOf('b')], quoteOf(before))).toBeUndefined();
  });

  test('that an attempt may have cost which ended unheard stays reserved until its account is in the ledger', async () => {
    model.budget('b', 'total', 100);
    const book = ingress('a');
    const one = await reserved(book, [itemOf('b')], 100);
    one.settleSeen(10, 8);
    expect(book.reserve([itemOf('b')], quoteOf(20))).toBeInstanceOf(Reservation);
    expect(book.reserve([itemOf('b')], quoteOf(1))).toBeUndefined();
    now += 10_000;
    book.sweep(now);
    expect(book.reserve([itemOf('b')], quoteOf(70))).toBeInstanceOf(Reservation);
  });

  test('that nobody uses goes back with the next report, what is reserved stays', async () => {
    model.budget('b', 'total', 100_000);
    const book = ingress('a');
    const all = await Promise.all(Array.from({ length: 20 }, () => reserved(book, [itemOf('b')], 10)));
    await turns();
    expect(model.leased('b total')).toBeGreaterThan(200);
    now += 5_000;
    book.sweep(now);
    await turns();
    expect(model.leased('b total')).toBe(200);
    for (const one of all) one.settle(4);
    now += 5_000;
    book.sweep(now);
    await turns();
    // What was consumed stays leased until the events settle it.
    expect(model.leased('b total')).toBe(80);
  });

  test('is renewed as long as it is reserved', async () => {
    model.budget('b', 'total', 100);
    const book = ingress('a');
    const one = await reserved(book, [itemOf('b')], 100);
    for (let i = 0; i < 10; i++) {
      now += 5_000;
      book.sweep(now);
      await turns(5);
    }
    one.release();
    expect(book.reserve([itemOf('b')], quoteOf(100))).toBeInstanceOf(Reservation);
  });

  test('that one ingress has and does not need goes to another that needs it', async () => {
    model.budget('b', 'total', 1_000);
    const [a, b] = [ingress('a'), ingress('b')];
    const held = await Promise.all(Array.from({ length: 10 }, () => reserved(a, [itemOf('b')], 50)));
    await turns();
    expect(model.leased('b total')).toBeGreaterThan(500);
    expect(await b.reserveLater([itemOf('b')], quoteOf(500))).toBeInstanceOf(Reservation);
    expect(await b.reserveLater([itemOf('b')], quoteOf(1))).toBeInstanceOf(OverBudget);
    for (const one of held) one.release();
    now += 1_000;
    expect(await b.reserveLater([itemOf('b')], quoteOf(500))).toBeInstanceOf(Reservation);
  });

  test('that lies in several leases of its own is put together', async () => {
    model.budget('b', 'total', 30);
    const book = ingress('a');
    const parts = await Promise.all([10, 10, 10].map((part) => reserved(book, [itemOf('b')], part)));
    for (const part of parts) part.release();
    expect(await book.reserveLater([itemOf('b')], quoteOf(30))).toBeInstanceOf(Reservation);
  });

  test('all goes back at the end', async () => {
    model.budget('b', 'total', 100_000);
    const book = ingress('a');
    const all = await Promise.all(Array.from({ length: 20 }, () => reserved(book, [itemOf('b')], 10)));
    for (const one of all) one.release();
    await book.stop();
    expect(model.leases.size).toBe(0);
  });

  test('of a window that has ended is not reserved', async () => {
    const door = model.door('a');
    const ask: typeof door.ask = async (items) => {
      const answer = await door.ask(items);
      return { ...answer, grants: answer.grants.map((grant) => ({ ...grant, windowEndsInMs: 3_000 })) };
    };
    model.budget('b', 'total', 100);
    const book = new LeaseBook({ ledger: { ...door, ask }, clock, log });
    model.ingresses.set('a', (budget, subject) => book.giveBack(budget, subject));
    (await reserved(book, [itemOf('b')], 10)).release();
    now += 3_000;
    expect(book.reserve([itemOf('b')], quoteOf(10))).toBeUndefined();
  });

  test('of a lease that the ledger has lost is not reserved', async () => {
    model.budget('b', 'total', 100);
    const book = ingress('a');
    (await reserved(book, [itemOf('b')], 10)).release();
    await turns();
    model.leases.clear();
    now += 100;
    book.sweep(now);
    await turns();
    expect(book.reserve([itemOf('b')], quoteOf(10))).toBeUndefined();
  });
});

test.each(Array.from({ length: 20 }, (_, seed) => seed))(
  'of 200 requests that race for a budget of ten over four ingresses exactly ten are served (seed %i)',
  async (seed) => {
    model.budget('b', 'total', 10 * 7);
    const books = ['a', 'b', 'c', 'd'].map(ingress);
    const order = fc.sample(fc.nat(3), { numRuns: 200, seed });
    const outcomes = await Promise.all(
      order.map(async (at, i) => {
        await turns(i % (seed + 1));
        const book = books[at] as LeaseBook;
        return book.reserve([itemOf('b')], quoteOf(7)) ?? book.reserveLater([itemOf('b')], quoteOf(7));
      }),
    );
    expect(outcomes.filter((outcome) => outcome instanceof Reservation)).toHaveLength(10);
  },
);

test('whatever requests, ends, renewals and recalls come in whatever order, no budget is overshot, and all returns', async () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('reserve' as const),
        at: fc.nat(2),
        cost: fc.integer({ min: 1, max: 40 }),
        budgets: fc.subarray(['b', 'c', 'd'], { minLength: 1 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('end' as const),
        which: fc.nat(99),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('later' as const), ms: fc.integer({ min: 1, max: 6_000 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('recall' as const), at: fc.nat(2) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), turns: fc.nat(6) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      now = 0;
      model = new LedgerModel();
      for (const budget of ['b', 'c', 'd']) model.budget(budget, 'total', 200);
      const books = ['x', 'y', 'z'].map(ingress);
      const open: Reservation[] = [];
      const pending: Array<Promise<unknown>> = [];
      const end = (reservation: Reservation, cost: number): void => {
        reservation.settle(cost);
        model.settle(reservation.leaseIds, cost);
      };
      for (const each of steps) {
        if (each.kind === 'reserve') {
          const items = each.budgets.map((budget) => itemOf(budget));
          const book = books[each.at] as LeaseBook;
          const outcome = book.reserve(items, quoteOf(each.cost));
          if (outcome !== undefined) open.push(outcome);
          else
            pending.push(
              book.reserveLater(items, quoteOf(each.cost)).then(
                (later) => later instanceof Reservation && open.push(later),
                // Time may have gone on for longer than it waits.
                () => undefined,
              ),
            );
        } else if (each.kind === 'end' && open.length > 0) {
          const [one] = open.splice(each.which % open.length, 1);
          if (one !== undefined) end(one, Math.floor(one.quote.nanoUsd * each.share));
        } else if (each.kind === 'later') {
          now += each.ms;
          for (const book of books) book.sweep(now);
        } else if (each.kind === 'recall') await (books[each.at] as LeaseBook).giveBack('b', 'total');
        else if (each.kind === 'wait') await turns(each.turns);
      }
      await Promise.allSettled(pending);
      for (const one of open) end(one, one.quote.nanoUsd);
      for (const book of books) await book.stop();
      for (const [key, { limit, spent }] of model.budgets) {
        expect(model.leased(key)).toBe(0);
        expect(spent).toBeLessThanOrEqual(limit);
      }
    }),
    { numRuns: 60 },
  );
});
