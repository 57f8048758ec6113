import type { Bus } from '../../shared/bus.ts';
import { USAGE_CONSUMER, USAGE_STREAM } from '../../shared/subjects.ts';

const ASK_EVERY_MS = 1_000;

/** How many messages of usage events wait to be recorded or acknowledged; asked each second. */
export class Backlog {
  readonly #bus: Bus;
  readonly #timer: NodeJS.Timeout;
  #messages = 0;
  #isAsking = false;

  constructor(bus: Bus) {
    this.#bus = bus;
    this.#timer = setInterval(() => void this.#ask(), ASK_EVERY_MS);
  }

  /** As of the last answer. */
  get messages(): number {
    return this.#messages;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || !this.#bus.isConnected) return;
    this.#isAsking = true;
    try {
      const consumer = await this.#bus.jetStream().consumers.get(USAGE_STREAM, USAGE_CONSUMER);
      const { num_pending: waiting, num_ack_pending: out } = await consumer.info(true);
      this.#messages = waiting + out;
    } catch {
      // NATS is away or starting: who consumes says so. The last number is the best there is.
    } finally {
      this.#isAsking = false;
    }
  }
}
