import type { Clock, Millis } from '../../../shared/clock.ts';
import { GatewayError } from '../../../shared/errors.ts';

export interface GroupCommitOptions<Question, Answer> {
  /** Answers all of them in one transaction, in their order; when it throws, none of them is answered. */
  readonly commit: (questions: readonly Question[]) => Promise<readonly Answer[]>;
  readonly clock: Pick<Clock, 'now'>;
  /** Of one transaction. */
  readonly maxBatch: number;
  /** Beyond this many that wait, the next one fails with `overloaded`. */
  readonly maxWaiting: number;
  /** Who has waited for longer fails with `overloaded`, unanswered: the asker has given up. */
  readonly patienceMs: Millis;
}

interface Waiting<Question, Answer> {
  readonly question: Question;
  readonly since: Millis;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (failure: unknown) => void;
}

/**
 * Many questions, one commit: while one transaction is under way the next questions gather, and go together in the next
 * one. So a burst of askers pays for a few commits, and a lone one waits for nothing.
 */
export class GroupCommit<Question, Answer> {
  readonly #options: GroupCommitOptions<Question, Answer>;
  #waiting: Waiting<Question, Answer>[] = [];
  #running: Promise<void> | undefined;

  constructor(options: GroupCommitOptions<Question, Answer>) {
    this.#options = options;
  }

  /** @throws GatewayError(`overloaded`), or what `commit` threw */
  ask(question: Question): Promise<Answer> {
    const { clock, maxWaiting } = this.#options;
    if (this.#waiting.length >= maxWaiting) return Promise.reject(overloaded());
    return new Promise<Answer>((resolve, reject) => {
      this.#waiting.push({ question, since: clock.now(), resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Those of the same turn go together.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#commit(this.#waiting.splice(0, this.#options.maxBatch));
    this.#running = undefined;
  }

  async #commit(batch: readonly Waiting<Question, Answer>[]): Promise<void> {
    const { commit, clock, patienceMs } = this.#options;
    const now = clock.now();
    const isLate = ({ since }: Waiting<Question, Answer>): boolean => now - since > patienceMs;
    for (const each of batch.filter(isLate)) each.reject(overloaded());
    const patient = batch.filter((each) => !isLate(each));
    if (patient.length === 0) return;
    try {
      const answers = await commit(patient.map(({ question }) => question));
      for (const [index, each] of patient.entries()) {
        const answer = answers[index];
        if (answer === undefined) each.reject(new Error('a question without an answer'));
        else each.resolve(answer);
      }
    } catch (failure) {
      for (const each of patient) each.reject(failure);
    }
  }
}

function overloaded(): GatewayError {
  return new GatewayError('overloaded', 'The ledger is overloaded.', { retryAfterMs: 1_000 });
}
