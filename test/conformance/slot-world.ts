import { expect } from 'vitest';
import type { UnusedSlots } from '../../services/ingress/core/slots-ahead.ts';
import { SlotsAhead } from '../../services/ingress/core/slots-ahead.ts';
import { AheadGrants } from '../../services/router/ahead.ts';
import { SlotTable } from '../../services/router/core/slot-table.ts';
import { SlotBook } from '../../services/workers/core/slot-book.ts';
import type { SlotRange } from '../../shared/messages/envelope.ts';

const POOL = 'p';
/** The name that all requests ask for. */
const MODEL = 'm';
/** Longer than every patience in the two cores. */
const LONG_MS = 5_000;
const NOBODY: ReadonlySet<string> = new Set();

type Message =
  | { kind: 'slots'; worker: string; issued: number; outstanding: number; capacity: number }
  | { kind: 'recall'; worker: string; count: number }
  | { kind: 'returned'; router: string; from: number; to: number }
  | { kind: 'beat'; router: string; spent: number | undefined; waiting: number }
  | { kind: 'task'; router: string; slot: number }
  | { kind: 'ahead'; router: string; ranges: SlotRange[] }
  | { kind: 'recallAhead'; router: string };

/** Counters may come twice; a promise or a task does not: the broker delivers at most once. */
export const isCounter = ({ kind }: Message): boolean => kind !== 'task' && kind !== 'ahead';

interface Router {
  readonly table: SlotTable;
  readonly ahead: AheadGrants;
  waiting: number;
  /** What was promised, by worker, since this router last forgot it: no slot may be there twice. */
  readonly promised: Map<string, Set<number>>;
}

/** The cores, wired as the services' `main.ts` and `workers/pool.ts` do, over a network that a test controls. */
export class World {
  readonly books = new Map<string, SlotBook>();
  readonly routers = new Map<string, Router>();
  readonly ingresses = new Map([
    ['i0', new SlotsAhead()],
    ['i1', new SlotsAhead()],
  ]);
  inFlight: Array<{ to: string; message: Message }> = [];
  now = 0;
  placed = 0;
  readonly #usedAhead = new Set<string>();
  /** Slots that were out at the last look, by worker. */
  readonly #out = new Map<string, number>();
  #born = 0;

  constructor(capacities: readonly number[], routers: number) {
    for (const [i, capacity] of capacities.entries()) this.books.set(`w${i}`, new SlotBook(capacity));
    for (let i = 0; i < routers; i++) this.bear();
  }

  get capacity(): number {
    return [...this.books.values()].reduce((sum, { capacity }) => sum + capacity, 0);
  }

  get isServing(): boolean {
    return [...this.books.values()].some(({ busy }) => busy > 0);
  }

  /** Nobody waits, nobody works. */
  get isIdle(): boolean {
    return !this.isServing && [...this.routers.values()].every(({ waiting }) => waiting === 0);
  }

  bear(): string {
    const id = `r${this.#born++}`;
    const table = new SlotTable();
    const bus = { post: (inbox: string) => this.#send(inbox, { kind: 'recallAhead', router: id }) };
    const ahead = new AheadGrants({ id, bus, slots: table, clock: { now: () => this.now } });
    this.routers.set(id, { table, ahead, waiting: 0, promised: new Map() });
    return id;
  }

  /** A request at an ingress: on a slot promised ahead, else by a question to this router. */
  request(ingress: string, id: string): void {
    const ahead = this.ingresses.get(ingress) as SlotsAhead;
    const placed = ahead.take(MODEL, this.now);
    if (placed !== undefined) {
      const { worker, slot } = placed;
      const used = `${placed.router} ${worker} ${slot}`;
      expect(this.#usedAhead.has(used), `${ingress} uses slot ${slot} of ${worker} twice`).toBe(false);
      this.#usedAhead.add(used);
      return this.#send(worker, { kind: 'task', router: placed.router, slot });
    }
    const router = this.routers.get(id);
    const wanted = ahead.wanted(MODEL, this.now);
    this.ask(id);
    if (router === undefined || router.waiting > 0 || wanted === 0) return;
    const ranges = router.ahead.grant(POOL, ingress, wanted);
    for (const { worker, from, to } of ranges) {
      for (let slot = from; slot <= to; slot++) this.#notePromise(id, worker, slot);
    }
    if (ranges.length > 0) this.#send(ingress, { kind: 'ahead', router: id, ranges });
  }

  /** The ingress dies with the slots it holds, and another takes its place. */
  killIngress(ingress: string): void {
    this.ingresses.set(ingress, new SlotsAhead());
    this.inFlight = this.inFlight.filter(({ to }) => to !== ingress);
  }

  expireAhead(ingress: string): void {
    this.#giveBack(this.ingresses.get(ingress)?.expire(this.now) ?? []);
  }

  /** Its requests ask another router; what it was sent is lost. */
  kill(id: string): void {
    const waiting = this.routers.get(id)?.waiting ?? 0;
    this.routers.delete(id);
    this.inFlight = this.inFlight.filter(({ to }) => to !== id);
    const [heir] = this.routers.keys();
    if (heir !== undefined) for (let i = 0; i < waiting; i++) this.ask(heir);
  }

  ask(id: string): void {
    const router = this.routers.get(id);
    if (router === undefined) return;
    router.waiting++;
    this.#serve(id, false);
    if (router.waiting === 0) return;
    for (const worker of this.books.keys()) this.#tellWaiting(id, worker, undefined);
    router.ahead.recall(POOL);
  }

  routerForgets(id: string, worker: string): void {
    this.routers.get(id)?.table.removeWorker(worker);
    this.routers.get(id)?.promised.delete(worker);
  }

  workerForgets(worker: string, router: string): void {
    this.books.get(worker)?.removeRouter(router);
    this.#issue(worker);
  }

  routerBeat(id: string): void {
    const router = this.routers.get(id);
    if (router === undefined) return;
    const spent = new Map(router.table.spent().map((entry) => [entry.worker, entry.spent]));
    for (const worker of this.books.keys()) this.#tellWaiting(id, worker, spent.get(worker));
  }

  workerBeat(worker: string): void {
    const book = this.books.get(worker) as SlotBook;
    book.issue({ isDue: true });
    for (const router of book.routers) this.#tellAccount(worker, router);
  }

  finish(worker: string): void {
    const book = this.books.get(worker) as SlotBook;
    if (book.busy === 0) return;
    book.release();
    this.#issue(worker);
  }

  /** As the adaptive limit does it. */
  resize(worker: string, capacity: number): void {
    const book = this.books.get(worker) as SlotBook;
    book.capacity = capacity;
    this.#issue(worker);
  }

  deliver(index: number): void {
    const [sent] = this.inFlight.splice(index, 1);
    if (sent !== undefined) this.#receive(sent.to, sent.message);
  }

  check(): void {
    for (const [worker, book] of this.books) {
      let outstanding = 0;
      for (const router of book.routers) outstanding += book.account(router).outstanding;
      expect(book.busy, worker).toBeGreaterThanOrEqual(0);
      const out = book.busy + outstanding;
      expect(out + book.free, worker).toBe(book.capacity);
      // Only a capacity that has shrunk leaves more out than there may be, and then they only become fewer.
      expect(out, worker).toBeLessThanOrEqual(Math.max(book.capacity, this.#out.get(worker) ?? 0));
      this.#out.set(worker, out);
    }
  }

  /** Heartbeats and their answers over a network without faults, for as long as every patience lasts, twice. */
  settle(): void {
    for (let round = 0; round < 6; round++) {
      this.now += LONG_MS;
      // Who has been silent for this long is dead to them.
      for (const [worker, book] of this.books) {
        for (const router of [...book.routers]) if (!this.routers.has(router)) this.workerForgets(worker, router);
      }
      for (const ingress of this.ingresses.keys()) this.expireAhead(ingress);
      for (const router of this.routers.keys()) this.routerBeat(router);
      for (const worker of this.books.keys()) this.workerBeat(worker);
      this.deliverAll();
    }
  }

  deliverAll(): void {
    for (let steps = 0; this.inFlight.length > 0; steps++) {
      if (steps > 20_000) throw new Error(`they talk without end: ${JSON.stringify(this.inFlight.slice(0, 5))}`);
      this.deliver(0);
    }
  }

  finishAll(): void {
    for (const [worker, book] of this.books) while (book.busy > 0) this.finish(worker);
    this.deliverAll();
  }

  #send(to: string, message: Message): void {
    this.inFlight.push({ to, message });
  }

  #tellWaiting(router: string, worker: string, spent: number | undefined): void {
    const waiting = this.routers.get(router)?.waiting ?? 0;
    this.#send(worker, { kind: 'beat', router, spent, waiting });
  }

  #tellAccount(worker: string, router: string): void {
    const book = this.books.get(worker) as SlotBook;
    this.#send(router, { kind: 'slots', worker, capacity: book.capacity, ...book.account(router) });
  }

  #issue(worker: string): void {
    const book = this.books.get(worker) as SlotBook;
    for (const router of book.issue()) this.#tellAccount(worker, router);
    for (const { router, count } of book.recall(this.now)) this.#send(router, { kind: 'recall', worker, count });
  }

  #serve(id: string, isLine: boolean): void {
    const router = this.routers.get(id) as Router;
    const hadLine = router.waiting > 1 || isLine;
    while (router.waiting > 0) {
      const taken = router.table.take(POOL, NOBODY);
      if (taken === undefined) return;
      this.#notePromise(id, taken.worker, taken.slot);
      router.waiting--;
      this.#send(taken.worker, { kind: 'task', router: id, slot: taken.slot });
    }
    if (hadLine) for (const worker of this.books.keys()) this.#tellWaiting(id, worker, undefined);
  }

  #notePromise(id: string, worker: string, slot: number): void {
    const router = this.routers.get(id) as Router;
    const promised = router.promised.get(worker) ?? new Set();
    expect(promised.has(slot), `${id} promises slot ${slot} of ${worker} twice`).toBe(false);
    router.promised.set(worker, promised.add(slot));
  }

  #giveBack(unused: readonly UnusedSlots[]): void {
    for (const { worker, router, from, to } of unused) this.#send(worker, { kind: 'returned', router, from, to });
  }

  #receive(to: string, message: Message): void {
    const book = this.books.get(to);
    const router = this.routers.get(to);
    switch (message.kind) {
      case 'slots':
        if (router?.table.update({ pool: POOL, ...message }) === true) this.#serve(to, router.waiting > 0);
        return;
      case 'recall': {
        if (router === undefined) return;
        const range = router.table.giveBack(POOL, message.worker, message.count);
        if (range.to - range.from + 1 < message.count) router.ahead.recall(POOL);
        return this.#send(message.worker, { kind: 'returned', router: to, ...range });
      }
      case 'returned':
        book?.giveBack(message.router, message.from, message.to);
        return this.#issue(to);
      case 'beat':
        book?.addRouter(message.router, this.now);
        book?.setWaiting(message.router, message.waiting);
        if (message.spent !== undefined) book?.reconcile(message.router, message.spent, this.now);
        return this.#issue(to);
      case 'task':
        if (book?.take(message.router, message.slot) === true) this.placed++;
        else this.ask([...this.routers.keys()].at(-1) ?? '');
        return;
      case 'ahead': {
        const [first] = message.ranges;
        const placed = {
          v: 1 as const,
          deployment: 'd',
          pool: POOL,
          router: message.router,
          route: null,
          reason: 'ordered',
        };
        const placement = { ...placed, worker: first?.worker ?? '', slot: 0, queueMs: 0, ahead: message.ranges };
        return this.#giveBack(this.ingresses.get(to)?.add(MODEL, placement, this.now) ?? []);
      }
      case 'recallAhead':
        return this.#giveBack(this.ingresses.get(to)?.recall(message.router, POOL) ?? []);
    }
  }
}
