import type { Bus } from '../../../shared/bus.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Log } from '../../../shared/log.ts';
import type { AdminAnswer } from '../../../shared/messages/admin.ts';
import { AdminQuestion } from '../../../shared/messages/admin.ts';
import { ledgerSubject, LEDGERS } from '../../../shared/subjects.ts';
import { reasonOf } from '../database/database.ts';
import { forgetAnswers } from '../idempotency.ts';
import type { KeySecret } from '../principals/key-secret.ts';
import { announceRules } from '../rules/revision.ts';
import type { Database } from '../database/schema.ts';
import { answerFailure, answerQuestion } from './answer-question.ts';
import { Gate } from './gate.ts';

export interface AdminDeps {
  readonly bus: Bus;
  readonly db: Database;
  readonly secret: KeySecret;
  readonly log: Log;
}

export interface Administration {
  stop(): void;
}

/** Of the pool's six connections, half. */
const MAX_RUNNING = 3;
/** Who waits behind so many would be told that nobody answers: its ingress gives up after 10 s. */
const MAX_WAITING = 100;
const FORGET_EVERY_MS = 60 * 60_000;

/** Answers the requests of the admin API that the ingresses forward. */
export function startAdmin({ bus, db, secret, log }: AdminDeps): Administration {
  const gate = new Gate(MAX_RUNNING, MAX_WAITING);
  const deps = { db, secret, log, announce: announceRules.bind(undefined, bus) };
  const fitting = (answer: AdminAnswer, question: AdminQuestion): AdminAnswer => {
    // Pages end long before; what does not fit would get no answer at all.
    if (Buffer.byteLength(JSON.stringify(answer)) < bus.maxPayload) return answer;
    log.error({ path: question.path, bytes: answer.body.length }, 'an answer of the admin API is too large');
    return answerFailure(new GatewayError('internal', 'The answer is too large.'), question);
  };
  const subscription = bus.onRequest(ledgerSubject('admin'), LEDGERS, AdminQuestion, (question) =>
    gate
      .run(() => answerQuestion(question, deps))
      .then(
        (answer) => fitting(answer, question),
        (failure: unknown) => answerFailure(GatewayError.from(failure), question),
      ),
  );
  const forget = (): void => {
    forgetAnswers(db).catch((failure: unknown) =>
      log.warn({ reason: reasonOf(failure) }, 'answers kept for idempotency keys were not deleted'),
    );
  };
  const timer = setInterval(forget, FORGET_EVERY_MS);
  forget();
  return {
    stop: () => {
      clearInterval(timer);
      subscription.unsubscribe();
    },
  };
}
