import type { Millis } from '../../../shared/clock.ts';
import type { GatewayError } from '../../../shared/errors.ts';
import type { Placed, Tried } from '../../../shared/messages/envelope.ts';
import { HEDGED } from '../../../shared/messages/envelope.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import { isLasting } from './next-step.ts';

/** Failures named to the client; of those after them it learns the number. */
const MAX_NAMED = 8;

/** Failures told with the account of a later attempt, the oldest; a route allows few attempts. */
const MAX_EARLIER = 16;

/** What is known of an attempt that failed, or that a worker declined. */
export interface Failed {
  readonly costNanoUsd: number;
  /** false: the worker called nobody. */
  readonly isAttempt: boolean;
}

/** What has become of one request so far. */
export class History {
  /** Begun, those under way too. */
  attempts = 0;
  /** Questions to routers. */
  questions = 0;
  /** In lines, until a place came of it; and in those of routers that were lost meanwhile. */
  queueMs: Millis = 0;
  waitedMs: Millis = 0;
  /** Of the attempts that failed or were given up. */
  costNanoUsd = 0;
  /** Times that everybody who had failed was asked again. */
  rounds = 0;
  tried: Tried[] = [];
  /** `deployment=code` of the attempts that failed, oldest first. */
  readonly failures: string[] = [];
  /** Of the same attempts, for the account of those after them. */
  readonly earlier: NonNullable<TaskHead['earlier']> = [];
  /** What the client is told when nobody else can serve it. */
  lastFailure: GatewayError | undefined;
  #lastNumber = 0;

  /** Answers the attempt's number, which names it in the ledger. */
  begin({ queueMs }: Placed): number {
    this.attempts++;
    this.queueMs += queueMs;
    return ++this.#lastNumber;
  }

  fail(
    failure: GatewayError,
    { placed, attempt }: { readonly placed: Placed; readonly attempt: number },
    { costNanoUsd, isAttempt }: Failed,
  ): void {
    const { code, retryAfterMs } = failure;
    const { deployment, worker } = placed;
    this.tried.push({ deployment, worker, code, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
    this.costNanoUsd += costNanoUsd;
    if (isAttempt) {
      this.lastFailure = failure;
      if (this.failures.length < MAX_NAMED) this.failures.push(`${deployment}=${code}`);
      if (this.earlier.length < MAX_EARLIER) this.earlier.push({ deployment, code });
      return;
    }
    this.attempts--;
    // Its number is free again, unless a later attempt runs beside it.
    if (attempt === this.#lastNumber) this.#lastNumber--;
    if (code === 'deployment_throttled') this.lastFailure ??= failure;
  }

  /** What to choose otherwise than for a second attempt: those that failed, and the one that is under way. */
  triedBeside({ deployment, worker }: Placed): Tried[] {
    return [...this.tried, { deployment, worker, code: HEDGED }];
  }

  /** Everybody may be asked again but those who would fail again, and workers that are lost. */
  beginRound(): void {
    this.rounds++;
    this.tried = this.tried.filter(({ code }) => isLasting(code) || code === 'worker_lost');
  }
}
