import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RoutePolicy } from '../../shared/config.ts';
import { createLog } from '../../shared/log.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import type { AnsweringServer } from '../../test/support/answering-server.ts';
import { startAnsweringServer } from '../../test/support/answering-server.ts';
import { Cover } from './budgets/cover.ts';
import type { ApplicableBudget } from './core/scope-ruling.ts';
import { LeaseBook } from './budgets/lease-book.ts';
import { Reservation } from './budgets/reservation.ts';
import type { Quote } from './core/quote.ts';
import { HEAD, World } from './testing/exchange-world.ts';
import { LedgerModel } from './testing/ledger-model.ts';

/** Each attempt may cost 100 nano-dollars, and one that is seen to the end costs 5. */
const QUOTE: Quote = { nanoUsd: 100, inputNanoUsd: 10, outputRate: 1e6, hasUnpriced: false };
const ITEMS: readonly ApplicableBudget[] = [
  { terms: { id: 'b', name: 'b', scope: 'total', isHard: true, onLimit: { kind: 'reject' } }, subject: 'total' },
];
const HEDGED: Partial<RoutePolicy> = { hedge: { afterMs: 'p95', share: 0.5 } };

let server: AnsweringServer;
let model: LedgerModel;
let book: LeaseBook;
let now: number;

beforeAll(async () => {
  server = await startAnsweringServer();
});

afterAll(() => server.stop());

beforeEach(() => {
  now = 1_000;
  model = new LedgerModel();
  const clock = { now: () => now, epochMs: () => 5_000_000 + now };
  book = new LeaseBook({ ledger: model.door('i'), clock, log: createLog('silent', 'test') });
  model.ingresses.set('i', (budget, subject) => book.giveBack(budget, subject));
});

/** A request that a budget of so much pays for. */
async function paidBy(limit: number, policy: Partial<RoutePolicy> = {}, isStream = false): Promise<World> {
  model.budget('b', 'total', limit);
  const first = await book.reserveLater(ITEMS, QUOTE);
  if (!(first instanceof Reservation)) throw new Error('the first attempt is not paid for');
  const clock = { epochMs: () => 5_000_000 };
  return World.begin(server, policy, isStream, new Cover({ book, clock }, ITEMS, first));
}

/** What the budget could still reserve at once, all that is elsewhere brought back. */
async function free(): Promise<number> {
  await book.giveBack('b', 'total');
  const held = model.budgets.get('b total');
  return (held?.limit ?? 0) - model.leased('b total');
}

describe('an attempt’s money', () => {
  test('is named to its worker, with the leases that it is from and the most that it may use', async () => {
    const world = await paidBy(1_000);
    world.place('a/m');
    const [task] = world.tasks();
    expect(task?.account).toMatchObject({ admittedEpochMs: 5_001_000, reservedNanoUsd: 100, leases: ['lease-1'] });
    expect(task?.outputBound).toEqual({ tokens: 4_096, at: {} });
  });

  test('is that of the route that it was admitted under, also where a router has another one serve it', async () => {
    const world = await paidBy(1_000);
    world.place('b/m', { downgradedTo: 'cheaper', route: 'cheaper' });
    expect(world.tasks()[0]).toMatchObject({ route: 'cheaper', account: { routeScope: 'r' } });
  });

  test('is spent by what it cost, and the rest is free', async () => {
    const world = await paidBy(1_000);
    world.whole(world.place('a/m'), '{}');
    expect((await world.answer).status).toBe(200);
    expect(await free()).toBe(995);
    expect(world.used).toEqual([{ tokens: 2, costNanoUsd: 5 }]);
  });

  test('pays for the next attempt where the first cost nothing, with no more than that', async () => {
    const world = await paidBy(100);
    world.fail(world.place('a/m'), 'upstream_unreachable');
    world.whole(world.place('b/m'), '{}');
    expect((await world.answer).status).toBe(200);
    expect(await free()).toBe(95);
  });

  test('is asked for again where the first cost something', async () => {
    const world = await paidBy(1_000);
    world.fail(world.place('a/m'), 'upstream_failed', { costNanoUsd: 30 });
    await vi.waitFor(() => expect(world.asks()).toHaveLength(2));
    world.whole(world.place('b/m'), '{}');
    expect((await world.answer).status).toBe(200);
    expect(await free()).toBe(965);
    expect(world.used).toEqual([{ tokens: 2, costNanoUsd: 35 }]);
  });

  test('is not there for another attempt: the client is told how the last one failed', async () => {
    const world = await paidBy(120);
    world.fail(world.place('a/m'), 'upstream_failed', { costNanoUsd: 30 });
    const response = await world.answer;
    expect(await response.json()).toMatchObject({ error: { code: 'upstream_failed' } });
    expect(world.asks()).toHaveLength(1);
    expect(await free()).toBe(90);
  });

  test('is free again when no router has a place for it', async () => {
    const world = await paidBy(1_000);
    world.refuse('no_deployment', true);
    expect((await world.answer).status).toBe(503);
    expect(await free()).toBe(1_000);
  });

  test('is free again when its client leaves the line', async () => {
    const world = await paidBy(1_000);
    world.leave();
    await vi.waitFor(() => expect(world.used).toHaveLength(1));
    expect(await free()).toBe(1_000);
  });

  test('of a stream that its client leaves is kept as far as it may have been used, for a while', async () => {
    const world = await paidBy(1_000, {}, true);
    const stream = world.place('a/m');
    world.send(stream, FrameType.head, HEAD);
    world.send(stream, FrameType.data, 'data: {"choices":[]}\n\n');
    await world.answer;
    world.leave();
    await vi.waitFor(() => expect(world.used).toHaveLength(1));
    // The input, and twice the one token that was seen with 64 besides.
    expect(await free()).toBe(1_000 - 76);
    now += 10_000;
    book.sweep(now);
    await vi.waitFor(async () => expect(await free()).toBe(1_000));
  });

  test.each(['its worker', 'the broker'])('is settled once when %s is lost', async (who) => {
    const world = await paidBy(1_000);
    world.place('a/m');
    if (who === 'its worker') world.exchange.onPeerGone('wrk-a');
    else world.exchange.onBrokerGone();
    world.exchange.onBrokerGone();
    world.exchange.onShutdown();
    expect((await world.answer).status).toBe(503);
    now += 10_000;
    book.sweep(now);
    await vi.waitFor(async () => expect(await free()).toBe(1_000));
    expect(world.used).toHaveLength(1);
  });
});

describe('a hedge', () => {
  test('has money of its own, and both are settled', async () => {
    const world = await paidBy(100_000, HEDGED);
    // What is held covers more than one.
    const others = await Promise.all(Array.from({ length: 5 }, () => book.reserveLater(ITEMS, QUOTE)));
    for (const other of others) if (other instanceof Reservation) other.release();
    const first = world.place('a/m', { hedgeAfterMs: 1 });
    await vi.waitFor(() => expect(world.asks()).toHaveLength(2));
    world.whole(world.place('b/m', { reason: 'hedge' }), '{}');
    expect((await world.answer).headers.get('x-sluice-hedged')).toBe('true');
    expect(first).toBeGreaterThan(0);
    now += 10_000;
    book.sweep(now);
    await vi.waitFor(async () => expect(await free()).toBe(100_000 - 5));
  });

  test('that nobody can pay for at once does not begin', async () => {
    const world = await paidBy(100, HEDGED);
    const first = world.place('a/m', { hedgeAfterMs: 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(world.asks()).toHaveLength(1);
    world.whole(first, '{}');
    expect((await world.answer).status).toBe(200);
    expect(await free()).toBe(95);
  });
});

test('while its budgets are asked for another attempt the client may leave, and nothing is kept', async () => {
  const world = await paidBy(1_000);
  world.fail(world.place('a/m'), 'upstream_failed', { costNanoUsd: 30 });
  world.exchange.onShutdown();
  await world.answer;
  await vi.waitFor(async () => expect(await free()).toBe(970));
});
