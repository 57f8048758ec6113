import { readJson } from '../../../shared/check.ts';
import type { Bus } from '../../../shared/bus.ts';
import type { Clock, Millis } from '../../../shared/clock.ts';
import { unlessNotFound } from '../../../shared/jetstream-failure.ts';
import type { Log } from '../../../shared/log.ts';
import { WorkerBeat } from '../../../shared/messages/beat.ts';
import { OpenAttempt, OpenAttempts } from '../../../shared/messages/open-attempt.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { beatWildcard, OPEN_STREAM, OPEN_SUBJECTS, openSubject, workerOfOpen } from '../../../shared/subjects.ts';
import { reapedEvent } from '../core/reaped-event.ts';
import { reasonOf } from '../database/database.ts';
import type { Database } from '../database/schema.ts';

const LOOK_EVERY_MS = 5_000;
/**
 * A worker unheard of for this long is dead. Long after its ingresses have known (1 s), and have handed over what they saw of
 * its attempts.
 */
const DEAD_AFTER_MS = 10_000;
/** Messages that one look at a dead worker's notes takes at once. */
const FETCH_MESSAGES = 500;
const FETCH_WITHIN_MS = 1_000;

export interface ReapAttemptsDeps {
  readonly bus: Bus;
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Usage events that wait to be recorded: as long as there are any, an attempt's true end may be among them. */
  readonly backlog: () => number;
  /** Writes events as those of workers are: what is there already stays as it is. */
  readonly record: (events: readonly UsageRecorded[]) => Promise<unknown>;
  /** Called with how many attempts were closed. */
  readonly onReaped?: (attempts: number) => void;
  readonly deadAfterMs?: Millis;
  readonly lookEveryMs?: Millis;
}

/**
 * Closes the attempts that worker and ingress took with them: workers note in JetStream what they begin; a dead one's notes
 * without an end in the account are closed at their reservation. Any number of ledgers may do it at once, for the account
 * keeps one end of each.
 */
export class AttemptReaper {
  readonly #deps: ReapAttemptsDeps;
  readonly #deadAfterMs: Millis;
  readonly #heardAt = new Map<string, Millis>();
  readonly #subscriptions: Array<{ unsubscribe(): void }>;
  readonly #timer: NodeJS.Timeout;
  /** Nobody is dead who could not be heard. */
  #listensSince: Millis;
  #lookedAt: Millis = -Infinity;
  #isLooking = false;
  #looking: Promise<void> = Promise.resolve();

  constructor(deps: ReapAttemptsDeps) {
    const { bus, clock } = deps;
    this.#deps = deps;
    this.#deadAfterMs = deps.deadAfterMs ?? DEAD_AFTER_MS;
    this.#listensSince = clock.now();
    this.#subscriptions = [
      bus.onMessage(beatWildcard('worker'), WorkerBeat, ({ worker }) => this.#heardAt.set(worker, clock.now())),
      bus.onConnection(() => {
        this.#listensSince = clock.now();
      }),
    ];
    this.#timer = setInterval(() => this.#lookOnce(), deps.lookEveryMs ?? LOOK_EVERY_MS);
  }

  /** How long ago a look began that found every attempt closed which nobody will report, or closed it; Infinity: never. */
  get lookedForMs(): Millis {
    return this.#deps.clock.now() - this.#lookedAt;
  }

  /** Resolves when a look that is under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    await this.#looking;
  }

  #lookOnce(): void {
    if (this.#isLooking || !this.#deps.bus.isConnected) return;
    this.#isLooking = true;
    this.#looking = this.#look()
      .catch((failure: unknown) => this.#deps.log.warn({ reason: reasonOf(failure) }, 'open attempts not looked at'))
      .finally(() => (this.#isLooking = false));
  }

  async #look(): Promise<void> {
    const { bus, clock, backlog } = this.#deps;
    const now = clock.now();
    const deaf = now - this.#listensSince < this.#deadAfterMs;
    for (const [worker, at] of this.#heardAt) if (now - at >= this.#deadAfterMs) this.#heardAt.delete(worker);
    if (deaf || backlog() > 0) return;
    const manager = await bus.jetStreamManager();
    // The first worker makes it; where there is none, nothing is open.
    const info = await unlessNotFound(manager.streams.info(OPEN_STREAM, { subjects_filter: OPEN_SUBJECTS }));
    for (const subject of Object.keys(info?.state.subjects ?? {})) {
      const worker = workerOfOpen(subject);
      if (!this.#heardAt.has(worker)) await this.#reap(worker);
    }
    this.#lookedAt = now;
  }

  async #reap(worker: string): Promise<void> {
    const { bus, clock, record, log, onReaped } = this.#deps;
    const { attempts, last } = await this.#read(worker);
    const open = await this.#withoutEnd(attempts);
    if (open.length > 0) {
      const nowEpochMs = clock.epochMs();
      await record(open.map((attempt) => reapedEvent(attempt, worker, nowEpochMs)));
      onReaped?.(open.length);
      log.warn({ worker, attempts: open.length }, 'attempts of a dead worker were closed at their reservation');
    }
    const manager = await bus.jetStreamManager();
    await manager.streams.purge(OPEN_STREAM, { filter: openSubject(worker), seq: last + 1 });
  }

  /** Everything that this worker noted, each attempt once. */
  async #read(worker: string): Promise<{ attempts: Map<string, OpenAttempt>; last: number }> {
    const consumer = await this.#deps.bus
      .jetStream()
      .consumers.get(OPEN_STREAM, { filterSubjects: openSubject(worker) });
    const attempts = new Map<string, OpenAttempt>();
    let last = 0;
    for (;;) {
      const messages = await consumer.fetch({ max_messages: FETCH_MESSAGES, expires: FETCH_WITHIN_MS });
      let pending = 0;
      for await (const message of messages) {
        last = message.seq;
        pending = message.info.pending;
        for (const attempt of this.#parse(message.data))
          attempts.set(`${attempt.task.id}.${attempt.task.attempt}`, attempt);
        if (pending === 0) break;
      }
      if (pending === 0) return { attempts, last };
    }
  }

  #parse(bytes: Uint8Array): OpenAttempt[] {
    const list = readJson(OpenAttempts, parseJson(bytes));
    if ('fault' in list) {
      this.#deps.log.error({ reason: list.fault, bytes: bytes.length }, 'a note of open attempts cannot be read');
      return [];
    }
    return list.value.flatMap((value) => {
      const read = readJson(OpenAttempt, value);
      if (!('fault' in read)) return [read.value];
      this.#deps.log.error({ reason: read.fault }, 'a note of an open attempt cannot be read');
      return [];
    });
  }

  async #withoutEnd(attempts: ReadonlyMap<string, OpenAttempt>): Promise<OpenAttempt[]> {
    const ids = [...attempts.keys()];
    const ended = new Set<string>();
    for (let from = 0; from < ids.length; from += FETCH_MESSAGES) {
      const rows = await this.#deps.db
        .selectFrom('attempts')
        .select('attempt_id')
        .where('attempt_id', 'in', ids.slice(from, from + FETCH_MESSAGES))
        .execute();
      for (const { attempt_id } of rows) ended.add(attempt_id);
    }
    return ids.filter((id) => !ended.has(id)).flatMap((id) => attempts.get(id) ?? []);
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
