import { ChurnMap } from '../../shared/churn-map.ts';
import type { UsageJournal } from '../../shared/journal.ts';
import type { UsageRecorded } from '../../shared/messages/usage.ts';
import type { SaidText } from './core/said-text.ts';
import type { OpenNotes } from './open-notes.ts';
import type { CountedTokens, TokenCounter } from './token-counter.ts';

/** The accounts of streams that were left before their provider told what they used: written once that is counted. */
export class LateAccounts {
  readonly #journal: Pick<UsageJournal, 'record'>;
  readonly #notes: Pick<OpenNotes, 'ended'>;
  readonly #counter: Pick<TokenCounter, 'count'>;
  readonly #open = new ChurnMap<Promise<void>>();

  constructor(deps: {
    readonly journal: Pick<UsageJournal, 'record'>;
    readonly notes: Pick<OpenNotes, 'ended'>;
    readonly counter: Pick<TokenCounter, 'count'>;
  }) {
    this.#journal = deps.journal;
    this.#notes = deps.notes;
    this.#counter = deps.counter;
  }

  /**
   * @param note of the attempt (open-notes.ts)
   * @param toEvent of what was counted; of undefined, by an estimate
   */
  record(
    note: number,
    { prompt, said }: { readonly prompt: Buffer | undefined; readonly said: SaidText },
    toEvent: (counted: CountedTokens | undefined) => UsageRecorded,
  ): void {
    const written = this.#counter.count(prompt, said).then((counted) => {
      this.#journal.record(toEvent(counted), () => this.#notes.ended(note));
      this.#open.delete(number);
    });
    const number = this.#open.add(written);
  }

  /** Resolves when all that were left until now are in the journal. */
  async settled(): Promise<void> {
    await Promise.all(this.#open.values());
  }
}
