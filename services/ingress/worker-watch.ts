import type { Clock, Millis } from '../../shared/clock.ts';
import type { WorkerBeat } from '../../shared/messages/beat.ts';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';

interface Watched {
  heardAt: Millis;
  /** Attempts of this ingress that run there. */
  live: number;
  /** Pools it serves; empty as long as only its frames were seen. */
  pools: readonly string[];
  /** As of its last beat. */
  connection: number | undefined;
}

/**
 * Whether the workers of this ingress' attempts live. A killed one is known by "no responders" to a ping (each is
 * pinged ten times a second while it has attempts), a hung one by its silence.
 */
export class WorkerWatch {
  readonly #clock: Clock;
  readonly #ping: (worker: string) => void;
  readonly #onGone: (worker: string) => void;
  readonly #workers = new Map<string, Watched>();

  constructor(deps: { clock: Clock; ping: (worker: string) => void; onGone: (worker: string) => void }) {
    this.#clock = deps.clock;
    this.#ping = deps.ping;
    this.#onGone = deps.onGone;
  }

  /** Pools that some live worker serves. */
  pools(): Set<string> {
    const pools = new Set<string>();
    for (const worker of this.#workers.values()) for (const pool of worker.pools) pools.add(pool);
    return pools;
  }

  onBeat({ worker, pools, connection }: WorkerBeat): void {
    const before = this.#workers.get(worker)?.connection;
    // It has lost its connection meanwhile and made a new one: what it had of ours is gone, though it lives.
    if (before !== undefined && before !== connection) this.remove(worker);
    const watched = this.#watch(worker);
    watched.heardAt = this.#clock.now();
    watched.connection = connection;
    watched.pools = pools.map(({ pool }) => pool);
  }

  /** Our own connection is lost: nothing is left that a worker's new one could have lost. */
  onBrokerGone(): void {
    for (const watched of this.#workers.values()) watched.connection = undefined;
  }

  /** A frame came from this worker: it lives. */
  heard(worker: string): void {
    const watched = this.#workers.get(worker);
    if (watched !== undefined) watched.heardAt = this.#clock.now();
  }

  began(worker: string): void {
    this.#watch(worker).live++;
  }

  ended(worker: string): void {
    const watched = this.#workers.get(worker);
    if (watched !== undefined) watched.live--;
  }

  /** The broker says that nobody listens there. */
  remove(worker: string): void {
    if (this.#workers.delete(worker)) this.#onGone(worker);
  }

  /** @param stalledMs how long this process itself heard nothing because it was busy: nobody is blamed for that */
  sweep(now: Millis, stalledMs: Millis): void {
    for (const [worker, watched] of this.#workers) {
      if (stalledMs > 0) watched.heardAt += stalledMs;
      else if (now - watched.heardAt > SILENT_AFTER_MS) {
        this.remove(worker);
        continue;
      }
      if (watched.live > 0) this.#ping(worker);
    }
  }

  #watch(worker: string): Watched {
    let watched = this.#workers.get(worker);
    if (watched === undefined) {
      watched = { heardAt: this.#clock.now(), live: 0, pools: [], connection: undefined };
      this.#workers.set(worker, watched);
    }
    return watched;
  }
}
