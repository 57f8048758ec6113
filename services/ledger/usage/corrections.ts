import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import { Endpoint } from '../../../shared/messages/envelope.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { Price } from '../../../shared/pricing.ts';
import { chargedRates, costOf } from '../../../shared/pricing.ts';
import type { Correction } from '../core/roll-up.ts';
import { rollUpCorrections } from '../core/roll-up.ts';
import type { UsageFilter } from '../core/usage-query.ts';
import type { AccountedAttempt, AttemptCursor } from './list-attempts.ts';
import { exportAttempts } from './list-attempts.ts';
import { moveBalances } from '../budgets/balances.ts';
import type { MoveBalances } from '../recording/record.ts';
import { addDeltas } from './rollups.ts';
import type { Database, Tables } from '../database/schema.ts';

/** Any number will do, as long as nobody else in the database uses it. */
const LOCK = 7_583_003;
/** Attempts of one transaction: tens of milliseconds, in which nobody else may correct. */
const PAGE = 1_000;

export interface ReRating {
  /** Which attempts. */
  readonly filter: UsageFilter;
  /** undefined: none is known, and what was charged stands. */
  readonly priceOf: (attempt: AccountedAttempt) => Price | undefined;
  /** Kept with each correction, as is `by`. */
  readonly reason: string;
  readonly by: string;
  /** By default as budgets/balances.ts does it. */
  readonly moveBalances?: MoveBalances | undefined;
}

export interface ReRated {
  readonly attempts: number;
  readonly corrected: number;
  /** Of which no price is known. */
  readonly unpriced: number;
  /** What the corrections add up to. */
  readonly amountNanoUsd: bigint;
}

/**
 * Charges attempts anew by a price: what differs from what they have cost so far becomes a correction of each, and is added to
 * the rollups and the balances. Attempts stay as they are. Done again it changes nothing; cut short it is half done, and
 * done again it goes on.
 * @throws what Postgres said; RangeError for an attempt with more tokens than can be priced
 */
export async function reRate(db: Database, reRating: ReRating): Promise<ReRated> {
  let done: ReRated = { attempts: 0, corrected: 0, unpriced: 0, amountNanoUsd: 0n };
  let after: AttemptCursor | undefined;
  do {
    const page = await db.transaction().execute((transaction) => reRatePage(transaction, reRating, after));
    done = add(done, page.done);
    after = page.next;
  } while (after !== undefined);
  return done;
}

/** As `reRate`, of a page of attempts, in a transaction of the caller's. */
export async function reRatePage(
  transaction: Transaction<Tables>,
  { filter, priceOf, reason, by, moveBalances: move = moveBalances }: ReRating,
  after: AttemptCursor | undefined,
): Promise<{ done: ReRated; next: AttemptCursor | undefined }> {
  // Two at once would both correct the same difference.
  await sql`select pg_advisory_xact_lock(${LOCK})`.execute(transaction);
  const { attempts, next } = await exportAttempts(transaction, { filter, after, limit: PAGE });
  const priced = attempts.flatMap((attempt) => {
    const price = priceOf(attempt);
    return price === undefined ? [] : [{ attempt, price }];
  });
  const changes = priced.flatMap(({ attempt, price }) => changeOf(attempt, price) ?? []);
  if (changes.length > 0) {
    await transaction
      .insertInto('corrections')
      .values(
        changes.map(({ event, amountNanoUsd, isFirstPrice, rates }) => ({
          attempt_id: event.attemptId,
          amount_nano_usd: amountNanoUsd,
          is_first_price: isFirstPrice,
          rates: rates.map(BigInt),
          ...{ reason, corrected_by: by },
        })),
      )
      .execute();
    await addDeltas(transaction, rollUpCorrections(changes));
    await move(
      transaction,
      changes.map(({ event }) => event),
    );
  }
  const amountNanoUsd = changes.reduce((sum, change) => sum + change.amountNanoUsd, 0n);
  const unpriced = attempts.length - priced.length;
  return { done: { attempts: attempts.length, corrected: changes.length, unpriced, amountNanoUsd }, next };
}

interface Change extends Correction {
  readonly rates: readonly number[];
}

/** undefined: it costs what it has cost. */
function changeOf(attempt: AccountedAttempt, price: Price): Change | undefined {
  const cost = BigInt(costOf(attempt, price));
  const { costNanoUsd: before } = attempt;
  if (cost === before) return undefined;
  const amountNanoUsd = cost - (before ?? 0n);
  const rates = chargedRates(attempt.inputTokens, price);
  return { event: eventOf(attempt, amountNanoUsd), amountNanoUsd, isFirstPrice: before === null, rates };
}

/** The attempt's event again, with the change as its cost: no lease of it is left to settle. */
function eventOf(attempt: AccountedAttempt, amountNanoUsd: bigint): UsageRecorded {
  const { endpoint, chargedEpochMs, isStream, tags } = attempt;
  return {
    v: 1,
    attemptId: attempt.attemptId,
    requestId: attempt.requestId,
    attempt: attempt.attempt,
    source: attempt.source,
    startedEpochMs: attempt.startedEpochMs,
    admittedEpochMs: chargedEpochMs,
    keyId: attempt.keyId,
    keyName: attempt.keyName,
    organisation: attempt.organisation,
    team: attempt.team,
    user: attempt.user,
    feature: attempt.feature,
    session: attempt.session,
    tags: tags === null ? null : { ...tags },
    model: attempt.model,
    route: attempt.route,
    modelScope: attempt.modelScope,
    routeScope: attempt.routeScope,
    reason: attempt.reason,
    variant: attempt.variant,
    lane: attempt.lane,
    deployment: attempt.deployment,
    provider: attempt.provider,
    upstreamModel: attempt.upstreamModel,
    endpoint: Endpoint.parse(endpoint),
    stream: isStream,
    inputTokens: attempt.inputTokens,
    outputTokens: attempt.outputTokens,
    cachedInputTokens: attempt.cachedInputTokens,
    reasoningTokens: attempt.reasoningTokens,
    isEstimated: attempt.isEstimated,
    costNanoUsd: Number(amountNanoUsd),
    queueMs: attempt.queueMs,
    ttftMs: attempt.ttftMs,
    durationMs: attempt.durationMs,
    upstreamStatus: attempt.upstreamStatus,
    finish: attempt.finish,
    error: attempt.error,
    worker: attempt.worker,
    ingress: attempt.ingress,
    traceparent: attempt.traceparent,
  };
}

function add(one: ReRated, other: ReRated): ReRated {
  return {
    attempts: one.attempts + other.attempts,
    corrected: one.corrected + other.corrected,
    unpriced: one.unpriced + other.unpriced,
    amountNanoUsd: one.amountNanoUsd + other.amountNanoUsd,
  };
}
