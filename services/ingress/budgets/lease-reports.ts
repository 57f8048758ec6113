import type { Clock } from '../../../shared/clock.ts';
import type { Log } from '../../../shared/log.ts';
import type { Holding, Lease } from '../core/holding.ts';
import { freeOf, keepOf } from '../core/holding.ts';
import type { LedgerLeases } from './ledger-leases.ts';

/** Leases of one message (messages/lease.ts). */
const MAX_REPORTED = 4_096;

export interface LeaseReportsDeps {
  readonly ledger: Pick<LedgerLeases, 'report'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

interface Held {
  readonly holding: Holding;
  readonly lease: Lease;
}

/** A line of a report: no more than `lease.amount` is reserved from it any more, whatever becomes of the report. */
interface Row extends Held {
  readonly isClosed: boolean;
}

/**
 * What an ingress tells the ledger of its leases: that it still holds them, how much of each it keeps, and which are over.
 * One report is on its way at a time, and each is made when its turn comes, so that none says what is no longer so.
 */
export class LeaseReports {
  readonly #deps: LeaseReportsDeps;
  /** Of these the ledger is to be told that nothing is reserved from them any more; forgotten when they expire. */
  readonly #closing = new Map<Lease, Held>();
  #last: Promise<void> = Promise.resolve();

  constructor(deps: LeaseReportsDeps) {
    this.#deps = deps;
  }

  get closing(): number {
    return this.#closing.size;
  }

  /** Renews what is used, gives back what is more than the demand of late, closes what is of no more use. */
  async renew(holdings: Iterable<Holding>): Promise<void> {
    const now = this.#deps.clock.now();
    for (const lease of this.#closing.keys()) if (lease.expiresAt <= now) this.#closing.delete(lease);
    await this.#inParts([...this.#closing.values()], (part) => part.map((held) => rowOf(held, 0, true)));
    await this.#inParts(heldIn(holdings), (part) => {
      const at = this.#deps.clock.now();
      return this.#rowsOf(part, (holding) => holding.recentDemand(at));
    });
  }

  /**
   * Gives back all that is free of one budget. Resolves when that is committed, and whatever was said of it before.
   * @throws GatewayError when the ledger does not answer in time
   */
  async giveBack(holding: Holding | undefined): Promise<void> {
    await this.#report(() => (holding === undefined ? [] : this.#rowsOf(heldIn([holding]), () => 0)));
  }

  /** Nothing is held any longer, whatever is still reserved. */
  async end(holdings: Iterable<Holding>): Promise<void> {
    const all = [...this.#closing.values(), ...heldIn(holdings)];
    await this.#inParts(all, (part) => part.map((held) => rowOf(held, 0, true)));
  }

  /** A holding is forgotten: its leases are closed with the next report. */
  forget(holding: Holding): void {
    for (const held of heldIn([holding])) this.#closing.set(held.lease, held);
  }

  /** @param spareOf how much of what is free of a holding is kept */
  #rowsOf(all: readonly Held[], spareOf: (holding: Holding) => number): Row[] {
    const now = this.#deps.clock.now();
    const spare = new Map<Holding, number>();
    return all.map((held) => {
      const { holding, lease } = held;
      const left = spare.get(holding) ?? spareOf(holding);
      // Nothing new is reserved from a window that has ended.
      const kept = now < lease.windowEndsAt ? Math.min(left, freeOf(lease)) : 0;
      spare.set(holding, left - kept);
      const isClosed = kept === 0 && lease.reserved === 0;
      if (isClosed) {
        holding.remove(lease);
        this.#closing.set(lease, held);
      }
      return rowOf(held, kept, isClosed);
    });
  }

  /** While the ledger is away nothing is lost by a report that fails: the next one says the same, and leases end by themselves. */
  async #inParts(all: readonly Held[], rowsOf: (part: readonly Held[]) => Row[]): Promise<void> {
    for (let at = 0; at < all.length; at += MAX_REPORTED)
      await this.#report(() => rowsOf(all.slice(at, at + MAX_REPORTED))).catch(() => undefined);
  }

  #report(rows: () => Row[]): Promise<void> {
    const done = this.#last.then(() => this.#send(rows()));
    this.#last = done.catch((failure: unknown) => this.#deps.log.debug({ err: failure }, 'leases not reported'));
    return done;
  }

  async #send(rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const sentAt = this.#deps.clock.now();
    const leases = rows.map(({ lease, isClosed }) => ({ lease: lease.id, keep: lease.amount, isClosed }));
    const { lost, ttlMs } = await this.#deps.ledger.report(leases);
    const gone = new Set(lost);
    for (const held of rows) {
      const { holding, lease, isClosed } = held;
      if (gone.has(lease.id)) holding.remove(lease);
      else lease.expiresAt = Math.max(lease.expiresAt, sentAt + ttlMs);
      if (isClosed) this.#closing.delete(lease);
    }
  }
}

function heldIn(holdings: Iterable<Holding>): Held[] {
  const all: Held[] = [];
  for (const holding of holdings) for (const lease of holding.leases) all.push({ holding, lease });
  return all;
}

function rowOf(held: Held, spare: number, isClosed: boolean): Row {
  held.lease.amount = keepOf(held.lease, spare);
  return { ...held, isClosed };
}
