import type { Catalog } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import type { UsageJournal } from '../../shared/journal.ts';
import type { AttemptEnd, TokenUsage } from '../../shared/messages/attempt.ts';
import type { Placed } from '../../shared/messages/envelope.ts';
import type { TaskHead } from '../../shared/messages/task.ts';
import type { UsageRecorded } from '../../shared/messages/usage.ts';
import { costOf } from '../../shared/pricing.ts';
import { usageEventOf } from '../../shared/usage-event.ts';

/** A worker hands its events over within 20 ms; a broker that restarts may take seconds. Ends of this age are safe. */
const REMEMBER_MS = 5_000;
/** Ends remembered for each worker; the oldest is forgotten beyond it. */
const MAX_REMEMBERED = 8_192;

/** What the ingress knows of one attempt: enough to write its account when its worker no longer can. */
export interface SeenAttempt {
  /** As its worker was told. Not the request: an attempt is remembered for seconds, and its body must not be. */
  readonly task: TaskHead;
  readonly placed: Placed;
  readonly startedEpochMs: number;
  readonly startedAt: Millis;
  ttftMs: number | null;
  /** From the response's head; 0 as long as nothing was heard, for then the provider may never have been called. */
  inputTokensEstimate: number;
  outputTokensSoFar: number;
}

interface Ended {
  readonly seen: SeenAttempt;
  readonly end: AttemptEnd;
  readonly error: ErrorCode | null;
  readonly at: Millis;
}

/**
 * Writes the account of attempts whose worker died: of those under way, and of those whose end came so shortly before
 * that the worker may not have handed its event over. The ledger keeps the first report of an attempt, so a witness too
 * many does no harm.
 */
export class Witness {
  readonly #journal: UsageJournal;
  readonly #catalog: Catalog;
  readonly #clock: Clock;
  readonly #ingressId: string;
  readonly #ended = new Map<string, Ended[]>();

  constructor(deps: { journal: UsageJournal; catalog: Catalog; clock: Clock; ingressId: string }) {
    this.#journal = deps.journal;
    this.#catalog = deps.catalog;
    this.#clock = deps.clock;
    this.#ingressId = deps.ingressId;
  }

  /** An attempt came to its end, which its worker reports too. */
  ended(seen: SeenAttempt, end: AttemptEnd, error: ErrorCode | null): void {
    const { worker } = seen.placed;
    let list = this.#ended.get(worker);
    if (list === undefined) {
      list = [];
      this.#ended.set(worker, list);
    }
    if (list.length >= MAX_REMEMBERED) list.splice(0, MAX_REMEMBERED / 2);
    list.push({ seen, end, error, at: this.#clock.now() });
  }

  /**
   * An attempt failed or was given up; what it used is known from what was seen of it.
   * @returns what it cost by that, in nano-dollars; 0 when no price is known
   */
  failed(seen: SeenAttempt, error: ErrorCode): number {
    const end = this.#endAsSeen(seen);
    this.ended(seen, end, error);
    return end.costNanoUsd ?? 0;
  }

  /**
   * An attempt is lost with its worker, or cannot be reported by it: its account is written now.
   * @returns as `failed`
   */
  lost(seen: SeenAttempt, error: ErrorCode): number {
    const end = this.#endAsSeen(seen);
    this.#journal.record(this.#event(seen, end, error));
    return end.costNanoUsd ?? 0;
  }

  /** A worker is gone: the ends that it may have taken with it are written. */
  onWorkerGone(worker: string): void {
    const list = this.#ended.get(worker) ?? [];
    this.#ended.delete(worker);
    for (const { seen, end, error } of list) this.#journal.record(this.#event(seen, end, error));
  }

  /** Forgets ends that are safe by now. */
  sweep(now: Millis): void {
    for (const [worker, list] of this.#ended) {
      const firstKept = list.findIndex(({ at }) => now - at < REMEMBER_MS);
      if (firstKept < 0) this.#ended.delete(worker);
      else if (firstKept > 0) list.splice(0, firstKept);
    }
  }

  #endAsSeen(seen: SeenAttempt): AttemptEnd {
    const usage: TokenUsage = {
      inputTokens: seen.inputTokensEstimate,
      outputTokens: seen.outputTokensSoFar,
      cachedInputTokens: 0,
      reasoningTokens: 0,
    };
    const price = this.#catalog.deployment(seen.placed.deployment)?.price;
    const durationMs = Math.round(this.#clock.now() - seen.startedAt);
    return {
      finish: null,
      usage,
      isEstimated: true,
      costNanoUsd: costOf(usage, price) ?? null,
      ttftMs: seen.ttftMs,
      durationMs,
    };
  }

  #event({ task, placed, startedEpochMs }: SeenAttempt, end: AttemptEnd, error: ErrorCode | null): UsageRecorded {
    const deployment = this.#catalog.deployment(placed.deployment);
    const by = {
      provider: deployment?.provider ?? placed.pool,
      upstreamModel: deployment?.upstreamModel ?? placed.deployment,
      price: deployment?.price,
      worker: placed.worker,
      ingress: this.#ingressId,
    };
    return usageEventOf(task, by, { source: 'ingress', startedEpochMs, upstreamStatus: null, error, end });
  }
}
