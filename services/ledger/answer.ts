import { z } from 'zod';
import type { Bus, Subscription } from '../../shared/bus.ts';
import type { Log } from '../../shared/log.ts';
import type { LedgerBeat } from '../../shared/messages/beat.ts';
import { BEAT_EVERY_MS } from '../../shared/messages/beat.ts';
import type { KeyAnswer } from '../../shared/messages/key.ts';
import { KeyQuery } from '../../shared/messages/key.ts';
import { beatSubject, ledgerSubject, LEDGERS } from '../../shared/subjects.ts';
import { lookupByHash } from './keys.ts';
import { PostgresWatch } from './postgres-watch.ts';
import type { Database } from './schema.ts';

export interface AnswerDeps {
  readonly id: string;
  readonly bus: Bus;
  readonly db: Database;
  readonly log: Log;
  readonly backlog: () => number;
  /** Opens what else is answered only while Postgres answers. */
  readonly openOthers?: (() => Subscription) | undefined;
}

export interface Answering {
  stop(): void;
}

/**
 * Answers questions about keys, and pings, and tells four times a second how this ledger is. While Postgres does not answer
 * this ledger takes no questions but pings: another one gets them, or the asker is told at once that nobody is there.
 */
export function startAnswering({ id, bus, db, log, backlog, openOthers }: AnswerDeps): Answering {
  const answerKeys = (): Subscription =>
    bus.onRequest(ledgerSubject('key'), LEDGERS, KeyQuery, async ({ hash }): Promise<KeyAnswer> => {
      return { v: 1, principal: await lookupByHash(db, hash) };
    });
  let keys: Subscription | undefined = answerKeys();
  let others = openOthers?.();

  const watch = new PostgresWatch(db, (problem) => {
    log.warn({ problem }, problem === null ? 'postgres answers again' : 'postgres does not answer');
    keys?.unsubscribe();
    others?.unsubscribe();
    keys = problem === null ? answerKeys() : undefined;
    others = problem === null ? openOthers?.() : undefined;
  });
  const state = (): LedgerBeat => ({ v: 1, ledger: id, postgres: watch.problem, backlog: backlog() });
  const pings = bus.onRequest(ledgerSubject('ping'), LEDGERS, z.looseObject({}), () => Promise.resolve(state()));
  const beat = (): void => bus.publish(beatSubject('ledger', id), state());
  const timer = setInterval(beat, BEAT_EVERY_MS);
  beat();

  return {
    stop: () => {
      clearInterval(timer);
      watch.stop();
      keys?.unsubscribe();
      others?.unsubscribe();
      pings.unsubscribe();
    },
  };
}
