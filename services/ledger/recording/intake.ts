import type { Consumer, ConsumerMessages, JsMsg } from 'nats';
import type { Clock, Millis } from '../../../shared/clock.ts';

/**
 * A batch leaves with this much at the latest: some two thousand events, beyond which a statement gains nothing more. One
 * message more may be in it, and events with few fields are four thousand.
 */
const FULL_AT_BYTES = 2_000_000;
/**
 * And this long after its first event. A batch costs Postgres as much as some fifty events: at 500 requests/s it takes 80 us
 * for each, 135 with batches of 50 ms. A report is hardly behind, and nothing that refuses waits for it.
 */
const WINDOW_MS = 150;
/**
 * Of one pull; each holds 500 events at most (shared/journal.ts), half a megabyte. A limit in bytes would be the better one,
 * but the client then waits for the end of a pull that the server has served in full.
 */
const PULL_MESSAGES = 32;
/**
 * A pull that brought less ends after this, and the next one begins. It is also how long `stop` may take: a pull given up
 * before its end loses the messages that are on their way, until `ack_wait`. The client allows no less than a second; but
 * it takes the server for lost after half of this without a word, for which a busy machine is enough at a second.
 */
const PULL_EXPIRES_MS = 2_000;
/** A pull that ends sooner than this with nothing was refused. */
const REFUSED_WITHIN_MS = 500;

/** Messages to be recorded and acknowledged together. */
export type Batch = readonly JsMsg[];

/**
 * Pulls messages from the consumer and makes batches of them. While one batch is written the next one is received; then
 * pulling stops until it is taken. So at most two batches and one pull (16 MB) are in memory. Messages wait as bytes: read
 * as they come, the objects of their events would outlive V8's young generation.
 */
export class Intake {
  readonly #consumer: Consumer;
  readonly #clock: Clock;
  #batch: JsMsg[] = [];
  #batchBytes = 0;
  #batchBeganAt: Millis = 0;
  #pull: ConsumerMessages | undefined;
  /** By this pull. */
  #received = 0;
  #isStopped = false;
  #hasEnded = false;
  #failure: Error | undefined;
  #wakeTaker = (): void => undefined;
  #makeRoom = (): void => undefined;

  constructor(consumer: Consumer, clock: Clock) {
    this.#consumer = consumer;
    this.#clock = clock;
    void this.#run();
  }

  /**
   * The next batch; waits for it. undefined: stopped, and everything received was taken.
   * @throws what ended the pulling
   */
  async take(): Promise<Batch | undefined> {
    for (;;) {
      const isEmpty = this.#batch.length === 0;
      const dueInMs = isEmpty ? Infinity : this.#batchBeganAt + WINDOW_MS - this.#clock.now();
      if (this.#hasEnded || this.#isFull || dueInMs <= 0) {
        if (!isEmpty) return this.#swap();
        if (this.#failure !== undefined) throw this.#failure;
        return undefined;
      }
      await this.#somethingHappens(dueInMs);
    }
  }

  /**
   * Pulls no more. What was received, and what the pull still brings until its end, can still be taken. With `isHurried` a
   * pull that has brought nothing yet is given up. Not before giving messages back: nats-server 2.9 offers one of
   * them to the pull that is gone, and then forgets it until `ack_wait`.
   */
  stop({ isHurried }: { readonly isHurried: boolean }): void {
    this.#isStopped = true;
    if (isHurried && this.#received === 0) this.#pull?.stop();
    this.#makeRoom();
  }

  get #isFull(): boolean {
    return this.#batchBytes >= FULL_AT_BYTES;
  }

  #swap(): Batch {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#makeRoom();
    return batch;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isStopped) await this.#pullOnce();
    } catch (failure) {
      this.#failure = failure instanceof Error ? failure : new Error('the pull failed', { cause: failure });
    }
    this.#hasEnded = true;
    this.#wakeTaker();
  }

  async #pullOnce(): Promise<void> {
    const beganAt = this.#clock.now();
    const pull = await this.#consumer.fetch({ max_messages: PULL_MESSAGES, expires: PULL_EXPIRES_MS });
    this.#pull = pull;
    if (this.#isStopped) pull.stop();
    this.#received = 0;
    for await (const message of pull) {
      this.#received++;
      this.#add(message);
      if (this.#isFull && !this.#isStopped) await new Promise<void>((resolve) => (this.#makeRoom = resolve));
    }
    const tookMs = this.#clock.now() - beganAt;
    if (this.#received === 0 && tookMs < REFUSED_WITHIN_MS && !this.#isStopped)
      throw new Error('the pull ended with nothing');
  }

  #add(message: JsMsg): void {
    if (this.#batch.length === 0) this.#batchBeganAt = this.#clock.now();
    this.#batch.push(message);
    this.#batchBytes += message.data.length;
    if (this.#batch.length === 1 || this.#isFull) this.#wakeTaker();
  }

  #somethingHappens(withinMs: Millis): Promise<void> {
    return new Promise((resolve) => {
      const timer = withinMs === Infinity ? undefined : setTimeout(resolve, Math.ceil(withinMs));
      this.#wakeTaker = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
