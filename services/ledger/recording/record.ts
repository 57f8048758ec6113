import { createHash } from 'node:crypto';
import type { Transaction } from 'kysely';
import { CompiledQuery } from 'kysely';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { moveBalances } from '../budgets/balances.ts';
import type { PoisonedEvent } from '../core/read-events.ts';
import { isFaultOfData, reasonOf } from '../database/database.ts';
import { addToRollups } from '../usage/rollups.ts';
import { preparedAs } from '../database/prepared.ts';
import type { AttemptsTable, Database, Tables } from '../database/schema.ts';
import { NO_ROUTE } from '../database/schema.ts';

/** Column → the event's field and the type it is read as. */
const COLUMNS = {
  attempt_id: ['attemptId', 'text'],
  request_id: ['requestId', 'text'],
  attempt: ['attempt', 'smallint'],
  source: ['source', 'text'],
  started_at: ['startedEpochMs', 'bigint'],
  key_id: ['keyId', 'text'],
  key_name: ['keyName', 'text'],
  team: ['team', 'text'],
  model: ['model', 'text'],
  route: ['route', 'text'],
  reason: ['reason', 'text'],
  variant: ['variant', 'text'],
  lane: ['lane', 'text'],
  deployment: ['deployment', 'text'],
  provider: ['provider', 'text'],
  upstream_model: ['upstreamModel', 'text'],
  endpoint: ['endpoint', 'text'],
  is_stream: ['stream', 'boolean'],
  input_tokens: ['inputTokens', 'integer'],
  output_tokens: ['outputTokens', 'integer'],
  cached_input_tokens: ['cachedInputTokens', 'integer'],
  reasoning_tokens: ['reasoningTokens', 'integer'],
  is_estimated: ['isEstimated', 'boolean'],
  cost_nano_usd: ['costNanoUsd', 'bigint'],
  queue_ms: ['queueMs', 'integer'],
  ttft_ms: ['ttftMs', 'integer'],
  duration_ms: ['durationMs', 'integer'],
  upstream_status: ['upstreamStatus', 'smallint'],
  finish: ['finish', 'text'],
  error: ['error', 'text'],
  worker: ['worker', 'text'],
  ingress: ['ingress', 'text'],
  traceparent: ['traceparent', 'text'],
  organisation: ['organisation', 'text'],
  user_id: ['user', 'text'],
  feature: ['feature', 'text'],
  session: ['session', 'text'],
  tags: ['tags', 'jsonb'],
  charged_at: ['admittedEpochMs', 'bigint'],
  reserved_nano_usd: ['reservedNanoUsd', 'bigint'],
  leases: ['leases', 'text[]'],
  rates: ['rates', 'bigint[]'],
  cache_hit: ['cacheHit', 'boolean'],
  earlier: ['earlier', 'jsonb'],
  guardrails: ['guardrails', 'jsonb'],
  model_scope: ['modelScope', 'text'],
  route_scope: ['routeScope', 'text'],
} as const satisfies Record<Exclude<keyof AttemptsTable, 'recorded_at'>, readonly [string, string]>;

const names = Object.keys(COLUMNS);
const values = Object.entries(COLUMNS).map(([name, [field]]) => {
  if (name === 'started_at') return `to_timestamp("${field}" / 1000.0)`;
  if (name === 'charged_at') return `to_timestamp(coalesce("${field}", "startedEpochMs") / 1000.0)`;
  return `"${field}"`;
});
const fields = Object.values(COLUMNS).map(([field, type]) => `"${field}" ${type}`);

/**
 * The batch goes as one JSON text. Measured with 2000 events on the embedded Postgres: 30 k events/s at 3.2 µs of Node CPU
 * each; arrays of columns through `unnest` 33 k (the same within the noise) at 8.6 µs; `jsonb` 22 k.
 * Sorted by key, two ledgers that hold the same events never wait for each other in a circle.
 */
const INSERT = preparedAs(
  'insert_attempts',
  `insert into attempts (${names.join(', ')})
    select ${values.join(', ')} from json_to_recordset($1) as event(${fields.join(', ')}) order by "attemptId"
    on conflict (attempt_id) do nothing returning attempt_id`,
);

/**
 * Charges new events to the budgets and leases they belong to. Called last in the transaction that records them: whoever
 * waits for a budget's row then waits for nothing else. Corrections come as events too, with what changes as their cost.
 */
export type MoveBalances = (transaction: Transaction<Tables>, fresh: readonly UsageRecorded[]) => Promise<void>;

/**
 * Events → rows, rollups and balances, in one transaction. An attempt that has a row already keeps it: the first report
 * stands, so a redelivery changes nothing.
 * @returns how many were new
 * @throws what Postgres said; then none of them is recorded
 */
export async function insertEvents(
  db: Database,
  events: readonly UsageRecorded[],
  move: MoveBalances = moveBalances,
): Promise<number> {
  const byId = new Map<string, UsageRecorded>();
  for (const event of events) if (!byId.has(event.attemptId)) byId.set(event.attemptId, event);
  if (byId.size === 0) return 0;
  const batch = JSON.stringify(Array.from(byId.values(), withRouteScope));
  return db.transaction().execute(async (transaction) => {
    const { rows } = await transaction.executeQuery<{ attempt_id: string }>(CompiledQuery.raw(INSERT, [batch]));
    const fresh = rows.flatMap(({ attempt_id }) => byId.get(attempt_id) ?? []);
    if (fresh.length === 0) return 0;
    await addToRollups(transaction, fresh);
    await move(transaction, fresh);
    return fresh.length;
  });
}

/** Admitted under no route is not the same as admitted under `route`, and Postgres reads null as it reads what is missing. */
function withRouteScope(event: UsageRecorded): UsageRecorded {
  return event.routeScope === null ? { ...event, routeScope: NO_ROUTE } : event;
}

export interface Recorded {
  readonly recorded: number;
  readonly duplicate: number;
  /** What Postgres will never take. */
  readonly poisoned: PoisonedEvent[];
}

/**
 * As `insertEvents`, but a row that can never be stored does not keep the others out: the batch is halved until the bad
 * ones stand alone (about 2 log2(n) statements for each).
 * @throws what Postgres said when it is not the data's fault; a part of the events may be recorded then: try all again
 */
export async function recordEvents(
  db: Database,
  events: readonly UsageRecorded[],
  move?: MoveBalances,
): Promise<Recorded> {
  try {
    const recorded = await insertEvents(db, events, move);
    return { recorded, duplicate: events.length - recorded, poisoned: [] };
  } catch (failure) {
    if (!isFaultOfData(failure)) throw failure;
    const [only] = events;
    if (only === undefined || events.length === 1) {
      return { recorded: 0, duplicate: 0, poisoned: [{ event: JSON.stringify(only), reason: reasonOf(failure) }] };
    }
    const middle = events.length >> 1;
    const first = await recordEvents(db, events.slice(0, middle), move);
    const second = await recordEvents(db, events.slice(middle), move);
    return {
      recorded: first.recorded + second.recorded,
      duplicate: first.duplicate + second.duplicate,
      poisoned: first.poisoned.concat(second.poisoned),
    };
  }
}

/** Keeps what can never be recorded, once: the same again, as a redelivery brings it, changes nothing. */
export async function putAside(db: Database, poisoned: readonly PoisonedEvent[]): Promise<void> {
  if (poisoned.length === 0) return;
  const rows = poisoned.map(({ event, reason }) => ({
    digest: createHash('sha256').update(event).digest('hex'),
    // Postgres' text holds neither NUL nor half a surrogate pair.
    event: event.replaceAll('\0', '').toWellFormed(),
    reason,
  }));
  await db
    .insertInto('poisoned_events')
    .values(rows)
    .onConflict((conflict) => conflict.column('digest').doNothing())
    .execute();
}
