import type { Bus } from '../../../shared/bus.ts';
import type { Clock, Millis } from '../../../shared/clock.ts';
import { USAGE_CONSUMER, USAGE_STREAM } from '../../../shared/subjects.ts';

const ASK_EVERY_MS = 1_000;

/** How many messages of usage events wait to be recorded or acknowledged; asked each second. */
export class Backlog {
  readonly #bus: Bus;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #timer: NodeJS.Timeout;
  #messages = 0;
  #emptyAt: Millis = -Infinity;
  #isAsking = false;

  constructor(bus: Bus, clock: Pick<Clock, 'now'>) {
    this.#bus = bus;
    this.#clock = clock;
    this.#timer = setInterval(() => void this.#ask(), ASK_EVERY_MS);
  }

  /** As of the last answer. */
  get messages(): number {
    return this.#messages;
  }

  /** How long ago it was last seen empty; Infinity: never. */
  get emptyForMs(): Millis {
    return this.#clock.now() - this.#emptyAt;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || !this.#bus.isConnected) return;
    this.#isAsking = true;
    const askedAt = this.#clock.now();
    try {
      const consumer = await this.#bus.jetStream().consumers.get(USAGE_STREAM, USAGE_CONSUMER);
      const { num_pending: waiting, num_ack_pending: out } = await consumer.info(true);
      this.#messages = waiting + out;
      // What came while we were told is not in it.
      if (this.#messages === 0) this.#emptyAt = askedAt;
    } catch {
      // NATS is away or starting: who consumes says so. The last number is the best there is.
    } finally {
      this.#isAsking = false;
    }
  }
}
