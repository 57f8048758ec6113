import type { Millis } from '../../shared/clock.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import type { Run } from './run.ts';

/**
 * The runs of one request: one, or two while it hedges, until one of them shows something (Dean and Barroso, "The Tail at
 * Scale", 2013). There is one hedge in a request's life.
 */
export class Race {
  #lead: Run | undefined;
  /** Beside the lead, before either has shown anything. */
  #second: Run | undefined;
  #hedge: Run | undefined;
  #winner: Run | undefined;
  #timer: NodeJS.Timeout | undefined;

  get lead(): Run | undefined {
    return this.#lead;
  }

  /** A second attempt was begun. */
  get isHedged(): boolean {
    return this.#hedge?.seen !== undefined;
  }

  /** The second attempt’s answer was the first. */
  get hedgeWon(): boolean {
    return this.#hedge !== undefined && this.#winner === this.#hedge;
  }

  isSecond(run: Run): boolean {
    return run === this.#second;
  }

  /** The other one. */
  beside(run: Run): Run | undefined {
    return run === this.#second ? this.#lead : this.#second;
  }

  start(run: Run | undefined): void {
    clearTimeout(this.#timer);
    this.#lead = run;
  }

  /** Calls back when the lead has shown nothing by then, if a hedge is still to be had. */
  whenSlow(ms: Millis, onSlow: () => void): void {
    if (this.#hedge !== undefined) return;
    const { lead } = this;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (lead !== undefined && lead === this.#lead && !lead.hasHead) onSlow();
    }, ms);
  }

  startHedge(run: Run): void {
    this.#hedge = run;
    this.#second = run;
  }

  /** One of two is out: the other is the only one from here on. false: there is no other. */
  goOnWithout(run: Run): boolean {
    const second = this.#second;
    if (second === undefined) return false;
    if (run !== second) this.#lead = second;
    this.#second = undefined;
    return true;
  }

  /** This one is the first to show something. Answers the other, if there is one: it has lost. */
  win(run: Run): Run | undefined {
    clearTimeout(this.#timer);
    this.#winner = run;
    const loser = this.beside(run);
    this.#lead = run;
    this.#second = undefined;
    return loser;
  }

  check(now: Millis): void {
    this.#lead?.check(now);
    this.#second?.check(now);
  }

  onPeerGone(peer: string): void {
    const second = this.#second;
    this.#lead?.onPeerGone(peer);
    second?.onPeerGone(peer);
  }

  onBrokerGone(): void {
    this.#lead?.onBrokerGone();
    this.#second?.onBrokerGone();
  }

  giveUp(code: ErrorCode): void {
    clearTimeout(this.#timer);
    this.#lead?.giveUp(code);
    this.#second?.giveUp(code);
  }
}
