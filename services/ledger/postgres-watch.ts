import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { reasonOf } from './database.ts';
import type { Database } from './schema.ts';

const ASK_EVERY_MS = 1_000;
/** A healthy server answers in a millisecond; one that needs this long keeps every caller waiting. */
const ANSWER_WITHIN_MS = 2_000;

/** Asks Postgres each second whether it is there. */
export class PostgresWatch {
  readonly #db: Database;
  readonly #onChange: (problem: string | null) => void;
  readonly #timer: NodeJS.Timeout;
  #problem: string | null = null;
  #isAsking = false;

  /** @param onChange called with why it does not answer, and with null when it does again */
  constructor(db: Database, onChange: (problem: string | null) => void) {
    this.#db = db;
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.#ask(), ASK_EVERY_MS);
  }

  /** null: it answers. */
  get problem(): string | null {
    return this.#problem;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    // One question at a time: the others would only wait in the pool for the same connection.
    if (this.#isAsking) return;
    this.#isAsking = true;
    const answer = sql`select 1`.execute(this.#db).then(
      () => null,
      (failure: unknown) => reasonOf(failure),
    );
    this.#set(await Promise.race([answer, sleep(ANSWER_WITHIN_MS, 'no answer in time', { ref: false })]));
    await answer;
    this.#isAsking = false;
  }

  #set(problem: string | null): void {
    const isSame = problem === this.#problem;
    this.#problem = problem;
    if (!isSame) this.#onChange(problem);
  }
}
