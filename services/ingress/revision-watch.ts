import type { Millis } from '../../shared/clock.ts';
import type { Log } from '../../shared/log.ts';
import type { LedgerBeat } from '../../shared/messages/beat.ts';
import type { RulesChanged } from '../../shared/messages/rules.ts';
import { RevisionTrack } from './core/revision-track.ts';

/**
 * What is to be forgotten: the keys with these ids, the rules of these scopes; undefined: all of them. And for whom it is to
 * be asked anew how soft budgets stand.
 */
export interface Forgotten {
  readonly keys: readonly string[] | undefined;
  readonly scopes: readonly string[] | undefined;
  readonly standings: readonly string[];
}

const EVERYTHING: Forgotten = { keys: undefined, scopes: undefined, standings: [] };

/**
 * Sees to it that a change of keys or rules counts here within a second: by its message, and when that was lost by the
 * ledgers' beats, which tell the revision.
 */
export class RevisionWatch {
  readonly #forget: (what: Forgotten) => void;
  readonly #log: Pick<Log, 'info'>;
  readonly #track = new RevisionTrack();
  #hasBegun = false;

  constructor(log: Pick<Log, 'info'>, forget: (what: Forgotten) => void) {
    this.#log = log;
    this.#forget = forget;
  }

  onRulesChanged({ revision, keys, scopes, standings = [] }: RulesChanged, now: Millis): void {
    this.#track.onChange(revision, now);
    this.#forget({ keys, scopes, standings });
    this.sweep(now);
  }

  onLedgerBeat({ revision }: LedgerBeat, now: Millis): void {
    if (revision === undefined) return;
    this.#track.onBeat(revision, now);
    this.sweep(now);
  }

  /** Messages that were sent meanwhile were lost. */
  onConnectionLost(): void {
    this.#track.onGap();
  }

  sweep(now: Millis): void {
    if (!this.#track.takeLost(now)) return;
    // Once, when the first revision is heard of, it means nothing.
    if (this.#hasBegun) this.#log.info('a change of keys or rules was missed: all of them are asked for anew');
    this.#hasBegun = true;
    this.#forget(EVERYTHING);
  }
}
