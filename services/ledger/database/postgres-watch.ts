import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from './database.ts';
import { readRevision } from '../rules/revision.ts';
import type { Database } from './schema.ts';

/** How late a change of keys or rules is seen at most whose message was lost: beats tell the revision that was read last. */
const ASK_EVERY_MS = 200;
/** A healthy server answers in a millisecond; one that needs this long keeps every caller waiting. */
const ANSWER_WITHIN_MS = 2_000;

export interface PostgresWatchListener {
  /** Why it does not answer, or null when it does again. */
  onProblem(problem: string | null): void;
  /** The revision is another one than before. */
  onRevision(): void;
}

/** Asks Postgres five times a second whether it is there, and how far keys and rules are. */
export class PostgresWatch {
  readonly #db: Database;
  readonly #listener: PostgresWatchListener;
  readonly #timer: NodeJS.Timeout;
  #problem: string | null = null;
  #revision: number | undefined;
  #isAsking = false;

  constructor(db: Database, listener: PostgresWatchListener) {
    this.#db = db;
    this.#listener = listener;
    this.#timer = setInterval(() => void this.#ask(), ASK_EVERY_MS);
  }

  /** null: it answers. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Of keys and rules, as it was read last; undefined: not yet, or Postgres does not answer. */
  get revision(): number | undefined {
    return this.#problem === null ? this.#revision : undefined;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    // One question at a time: the others would only wait in the pool for the same connection.
    if (this.#isAsking) return;
    this.#isAsking = true;
    const answer = readRevision(this.#db).then(
      (revision) => this.#see(Number(revision)),
      (failure: unknown) => reasonOf(failure),
    );
    this.#set(await Promise.race([answer, sleep(ANSWER_WITHIN_MS, 'no answer in time', { ref: false })]));
    await answer;
    this.#isAsking = false;
  }

  #see(revision: number): null {
    const isSame = revision === this.#revision;
    this.#revision = revision;
    if (!isSame) this.#listener.onRevision();
    return null;
  }

  #set(problem: string | null): void {
    const isSame = problem === this.#problem;
    this.#problem = problem;
    if (!isSame) this.#listener.onProblem(problem);
  }
}
