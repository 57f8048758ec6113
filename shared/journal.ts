import { randomUUID } from 'node:crypto';
import type { Bus } from './bus.ts';
import { ChurnMap } from './churn-map.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import type { UsageRecorded } from './messages/usage.ts';
import { usageSubject } from './subjects.ts';

/** Events of this window share one message: one message per turn would cost 9 % of all requests/s (docs/performance.md). */
const WINDOW_MS = 20;
const MAX_EVENTS_PER_MESSAGE = 500;
const MAX_MESSAGES_IN_FLIGHT = 8;
/** At this many unacknowledged events the journal is full: its owner takes no new work until the broker is back. */
const MAX_EVENTS = 100_000;
const ACK_TIMEOUT_MS = 3_000;
const RETRY_AFTER_MS = 250;

interface Recorded {
  readonly text: string;
  readonly onSafe: (() => void) | undefined;
}

/**
 * Usage events on their way to JetStream: recorded in memory, published in batches, kept until the server has
 * acknowledged them on disk. A batch keeps its message id over retries, so the stream drops what it has already, and
 * the ledger drops what it has by attempt id.
 */
export class UsageJournal {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #subject: string;
  #events: Recorded[] = [];
  #unacknowledged = 0;
  #messagesInFlight = 0;
  #flushTimer: NodeJS.Timeout | undefined;
  #lastFlush = -WINDOW_MS;
  readonly #idleWaiters: Array<() => void> = [];
  /** Of messages that wait for their acknowledgement: a connection that broke brings none. */
  readonly #wakeOnReconnect = new ChurnMap<() => void>();

  /** `shard` names the writer: its events stay in order. */
  constructor(bus: Bus, shard: string, clock: Clock, log: Log) {
    this.#bus = bus;
    this.#clock = clock;
    this.#log = log;
    this.#subject = usageSubject(shard);
    bus.onConnection((isConnected) => {
      if (isConnected) for (const wake of this.#wakeOnReconnect.values()) wake();
    });
  }

  /** Events that the server has not acknowledged yet. */
  get backlog(): number {
    return this.#events.length + this.#unacknowledged;
  }

  get isFull(): boolean {
    return this.backlog >= MAX_EVENTS;
  }

  /** @param onSafe called once the server has it on disk */
  record(event: UsageRecorded, onSafe?: () => void): void {
    this.#events.push({ text: JSON.stringify(event), onSafe });
    if (this.#events.length >= MAX_EVENTS_PER_MESSAGE) this.#flush();
    else this.#schedule();
  }

  /** Resolves when everything recorded so far is acknowledged, or after `timeoutMs`; the answer says which. */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#flush();
    if (this.backlog === 0) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.#idleWaiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** The first event after a quiet time leaves at the end of its turn: a crash then loses as little as can be. */
  #schedule(): void {
    if (this.#flushTimer !== undefined) return;
    const waitMs = Math.max(0, this.#lastFlush + WINDOW_MS - this.#clock.now());
    this.#flushTimer = setTimeout(() => {
      this.#flushTimer = undefined;
      this.#flush();
    }, waitMs);
  }

  #flush(): void {
    this.#lastFlush = this.#clock.now();
    while (this.#events.length > 0 && this.#messagesInFlight < MAX_MESSAGES_IN_FLIGHT) {
      const batch = this.#events.splice(0, MAX_EVENTS_PER_MESSAGE);
      void this.#publish(batch);
    }
  }

  async #publish(batch: readonly Recorded[]): Promise<void> {
    this.#messagesInFlight++;
    this.#unacknowledged += batch.length;
    const payload = Buffer.from(`[${batch.map(({ text }) => text).join(',')}]`);
    const msgID = randomUUID();
    for (let attempt = 1; ; attempt++) {
      try {
        const published = this.#bus.jetStream().publish(this.#subject, payload, { msgID, timeout: ACK_TIMEOUT_MS });
        await this.#unlessReconnected(published);
        break;
      } catch (failure) {
        if (attempt % 20 === 1)
          this.#log.warn({ err: failure, attempt, backlog: this.backlog }, 'usage not acknowledged yet');
        if (this.#bus.isClosed) return;
        await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
      }
    }
    this.#messagesInFlight--;
    this.#unacknowledged -= batch.length;
    for (const { onSafe } of batch) onSafe?.();
    if (this.backlog === 0) for (const wake of this.#idleWaiters.splice(0)) wake();
    else if (this.#events.length > 0) this.#schedule();
  }

  /** @throws Error when the connection was made anew meanwhile: what was published before may be lost, and is not acknowledged */
  async #unlessReconnected(published: Promise<unknown>): Promise<void> {
    let wake = (): void => undefined;
    const reconnected = new Promise<never>((_resolve, reject) => {
      wake = () => reject(new Error('the connection was lost'));
    });
    const number = this.#wakeOnReconnect.add(wake);
    try {
      await Promise.race([published, reconnected]);
    } finally {
      this.#wakeOnReconnect.delete(number);
      // It may fail after the race is over.
      published.catch(() => undefined);
    }
  }
}
