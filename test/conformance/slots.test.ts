import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SlotBook } from '../../services/workers/core/slot-book.ts';
import { isCounter, World } from './slot-world.ts';

type Step = (world: World) => void;
const pick = <T>(items: Iterable<T>, n: number): T | undefined => {
  const all = [...items];
  return all[n % Math.max(1, all.length)];
};

const n = fc.nat({ max: 1_000 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: n.map(
      (i): Step =>
        (world) =>
          world.deliver(i % Math.max(1, world.inFlight.length)),
    ),
  },
  { weight: 8, arbitrary: fc.constant<Step>((world) => world.deliver(0)) },
  {
    weight: 6,
    arbitrary: n.map(
      (i): Step =>
        (world) =>
          world.ask(pick(world.routers.keys(), i) ?? ''),
    ),
  },
  {
    weight: 4,
    arbitrary: n.map(
      (i): Step =>
        (world) =>
          world.finish(pick(world.books.keys(), i) as string),
    ),
  },
  {
    weight: 3,
    arbitrary: n.map(
      (i): Step =>
        (world) =>
          world.routerBeat(pick(world.routers.keys(), i) ?? ''),
    ),
  },
  {
    weight: 3,
    arbitrary: n.map(
      (i): Step =>
        (world) =>
          world.workerBeat(pick(world.books.keys(), i) as string),
    ),
  },
  {
    weight: 2,
    arbitrary: n.map(
      (ms): Step =>
        (world) =>
          void (world.now += ms * 3),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(n, n).map(
      ([i, j]): Step =>
        (world) =>
          world.request(pick(world.ingresses.keys(), i) as string, pick(world.routers.keys(), j) ?? ''),
    ),
  },
  {
    weight: 1,
    arbitrary: n.map(
      (i): Step =>
        (world) =>
          world.expireAhead(pick(world.ingresses.keys(), i) as string),
    ),
  },
  {
    weight: 1,
    arbitrary: n.map(
      (i): Step =>
        (world) =>
          world.killIngress(pick(world.ingresses.keys(), i) as string),
    ),
  },
  // A task is never lost in silence: its ingress sees to that. Everything else may be.
  {
    weight: 2,
    arbitrary: n.map((i): Step => (world) => {
      const at = i % Math.max(1, world.inFlight.length);
      if (world.inFlight[at]?.message.kind !== 'task') world.inFlight.splice(at, 1);
    }),
  },
  {
    weight: 2,
    arbitrary: n.map((i): Step => (world) => {
      const sent = pick(world.inFlight, i);
      if (sent !== undefined && isCounter(sent.message)) world.inFlight.push(sent);
    }),
  },
  {
    weight: 1,
    arbitrary: n.map((i): Step => (world) => {
      if (world.routers.size > 1) world.kill(pick(world.routers.keys(), i) as string);
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>((world) => (world.routers.size < 4 ? void world.bear() : undefined)) },
  {
    weight: 1,
    arbitrary: fc.tuple(n, n).map(([i, j]): Step => (world) => {
      const worker = pick(world.books.keys(), i) as string;
      const router = pick(world.books.get(worker)?.routers ?? [], j);
      if (router !== undefined) world.workerForgets(worker, router);
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(n, fc.integer({ min: 1, max: 8 })).map(([i, capacity]): Step => (world) => {
      world.resize(pick(world.books.keys(), i) as string, capacity);
    }),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(n, n).map(([i, j]): Step => (world) => {
      world.routerForgets(pick(world.routers.keys(), i) ?? '', pick(world.books.keys(), j) as string);
    }),
  },
);

const worlds = fc.tuple(
  fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
  fc.integer({ min: 1, max: 3 }),
);

describe('slots of several workers at several routers', () => {
  test('whatever is lost, doubled or late, and whoever dies: none is promised twice, none is overbooked, none is stranded', () => {
    fc.assert(
      fc.property(worlds, fc.array(step, { maxLength: 150, size: 'max' }), ([capacities, routers], steps) => {
        const world = new World(capacities, routers);
        for (const take of steps) {
          take(world);
          world.check();
        }
        // The network is well again, attempts come to their end, and whoever waits is served.
        do {
          world.settle();
          world.check();
          expect(world.isIdle || world.isServing, 'requests wait, and nobody works').toBe(true);
          world.finishAll();
        } while (!world.isIdle);
        world.settle();
        // Every slot is free, so every slot is at some router, to be promised there and taken at its worker.
        for (const book of world.books.values()) expect(book.free).toBe(0);
        const before = world.placed;
        for (const [id, router] of world.routers) {
          for (const { worker, spent } of router.table.spent()) {
            const issued = (world.books.get(worker) as SlotBook).account(id).issued;
            for (let i = spent; i < issued; i++) world.ask(id);
          }
        }
        world.deliverAll();
        expect(world.placed - before).toBe(world.capacity);
      }),
      { numRuns: 150 },
    );
  });

  test('while requests wait at one router only, every idle slot comes to it', () => {
    fc.assert(
      fc.property(worlds, n, ([capacities, routers], i) => {
        const world = new World(capacities, routers);
        world.settle();
        const busy = pick(world.routers.keys(), i) as string;
        for (let count = 0; count < 2 * world.capacity; count++) world.ask(busy);
        world.settle();
        expect(world.placed).toBe(world.capacity);
        world.check();
      }),
    );
  });

  test('slots that an ingress holds ahead come at once to who waits at another router', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 4, max: 40 }), { minLength: 1, maxLength: 3 }), n, (capacities, busy) => {
        const world = new World(capacities, 2);
        world.settle();
        for (let i = 0; i <= busy % world.capacity; i++) world.request('i0', 'r0');
        const held = world.inFlight.filter(({ message }) => message.kind === 'ahead').length;
        world.deliverAll();
        const placed = world.placed;
        // No time passes: nothing comes back because it is over.
        for (let i = 0; i < world.capacity; i++) world.ask('r1');
        world.deliverAll();
        expect(world.placed, `${held} grants`).toBe(world.capacity);
        expect(placed).toBeLessThanOrEqual(world.capacity);
        world.check();
      }),
    );
  });

  test('a router that comes when all slots are given out gets its even share of what is idle', () => {
    fc.assert(
      fc.property(worlds, fc.integer({ min: 0, max: 4 }), ([capacities, routers], busy) => {
        const world = new World(capacities, routers);
        world.settle();
        const first = world.routers.keys().next().value as string;
        for (let i = 0; i < Math.min(busy, world.capacity); i++) world.ask(first);
        world.settle();
        const late = world.bear();
        world.settle();
        for (const book of world.books.values()) {
          const level = Math.floor((book.capacity - book.busy) / world.routers.size);
          expect(book.account(late).outstanding).toBeGreaterThanOrEqual(level / 2);
        }
        world.check();
      }),
    );
  });

  test('a capacity that shrinks calls idle slots back, and lets run what runs', () => {
    const world = new World([8], 2);
    world.settle();
    for (let i = 0; i < 3; i++) world.ask('r0');
    world.settle();
    const book = world.books.get('w0') as SlotBook;
    expect(book.busy).toBe(3);
    world.resize('w0', 2);
    world.settle();
    expect({ busy: book.busy, free: book.free }).toEqual({ busy: 3, free: -1 });
    world.ask('r1');
    world.settle();
    expect(book.busy).toBe(3);
    world.finish('w0');
    world.finish('w0');
    world.deliverAll();
    expect(book.busy).toBe(2);
  });

  test('a capacity that grows gives the new slots out at once, to who waits first', () => {
    const world = new World([1], 2);
    world.settle();
    for (let i = 0; i < 4; i++) world.ask('r1');
    world.settle();
    world.resize('w0', 3);
    world.deliverAll();
    expect(world.placed).toBe(3);
  });

  test('lines at two routers are served in turns, as slots come free', () => {
    const world = new World([2], 2);
    world.settle();
    for (let i = 0; i < 20; i++) for (const id of world.routers.keys()) world.ask(id);
    world.settle();
    const waiting = (): number[] => [...world.routers.values()].map((router) => router.waiting);
    const before = waiting();
    for (let i = 0; i < 10; i++) {
      world.finish('w0');
      world.deliverAll();
    }
    expect(waiting().map((now, i) => (before[i] ?? 0) - now)).toEqual([5, 5]);
  });

  test('a router that has promised all it holds is not asked for it over and over', () => {
    const book = new SlotBook(2);
    for (const router of ['a', 'b']) book.addRouter(router, 0);
    book.issue();
    book.setWaiting('b', 5);
    expect(book.recall(1_000)).toEqual([{ router: 'a', count: 1 }]);
    // Its answer: an empty range.
    book.giveBack('a', 2, 1);
    expect(book.recall(1_000)).toEqual([]);
    expect(book.recall(1_100)).toEqual([{ router: 'a', count: 1 }]);
  });

  test('a range beyond every count is no work', () => {
    const book = new SlotBook(2);
    book.addRouter('a', 0);
    book.issue();
    book.giveBack('a', -1e300, 1e300);
    expect(book.free).toBe(2);
  });
});
