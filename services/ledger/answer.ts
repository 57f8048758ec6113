import { z } from 'zod';
import type { Bus, Subscription } from '../../shared/bus.ts';
import type { Log } from '../../shared/log.ts';
import type { LedgerBeat } from '../../shared/messages/beat.ts';
import { BEAT_EVERY_MS } from '../../shared/messages/beat.ts';
import { KeyQuery } from '../../shared/messages/key.ts';
import { RulesQuery } from '../../shared/messages/rules.ts';
import { beatSubject, ledgerSubject, LEDGERS } from '../../shared/subjects.ts';
import type { KeySecret } from './principals/key-secret.ts';
import { lookUpKey } from './principals/look-up-key.ts';
import { PostgresWatch } from './database/postgres-watch.ts';
import { rulesFor } from './rules/rules.ts';
import type { Database } from './database/schema.ts';

export interface AnswerDeps {
  readonly id: string;
  readonly bus: Bus;
  readonly db: Database;
  readonly secret: KeySecret;
  readonly log: Log;
  readonly backlog: () => number;
  /** Opens what else is answered only while Postgres answers. */
  readonly openOthers?: (() => Subscription[]) | undefined;
}

export interface Answering {
  stop(): void;
}

/**
 * Answers questions about keys and rules, and pings, and tells four times a second how this ledger is; at once when keys or
 * rules have changed. While Postgres does not answer this ledger takes no questions: another one gets them, or the asker
 * is told at once that nobody is there.
 */
export function startAnswering({ id, bus, db, secret, log, backlog, openOthers }: AnswerDeps): Answering {
  const listen = (): Subscription[] => [
    bus.onRequest(ledgerSubject('key'), LEDGERS, KeyQuery, ({ hash }) => lookUpKey(db, secret, hash)),
    bus.onRequest(ledgerSubject('rules'), LEDGERS, RulesQuery, ({ scopes }) => rulesFor(db, scopes)),
    ...(openOthers?.() ?? []),
  ];
  let questions = listen();
  const stopListening = (): void => {
    for (const question of questions) question.unsubscribe();
    questions = [];
  };

  const watch = new PostgresWatch(db, {
    onProblem: (problem) => {
      log.warn({ problem }, problem === null ? 'postgres answers again' : 'postgres does not answer');
      stopListening();
      if (problem === null) questions = listen();
    },
    onRevision: () => beat(),
  });
  const state = (): LedgerBeat => {
    const { problem, revision } = watch;
    return {
      ...{ v: 1, ledger: id, postgres: problem, backlog: backlog() },
      ...(revision !== undefined && { revision }),
    };
  };
  const pings = bus.onRequest(ledgerSubject('ping'), LEDGERS, z.looseObject({}), () => Promise.resolve(state()));
  const beat = (): void => bus.publish(beatSubject('ledger', id), state());
  const timer = setInterval(beat, BEAT_EVERY_MS);
  beat();

  return {
    stop: () => {
      clearInterval(timer);
      watch.stop();
      stopListening();
      pings.unsubscribe();
    },
  };
}
