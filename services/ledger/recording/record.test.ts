import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { putAside, recordEvents } from './record.ts';
import type { Database } from '../database/schema.ts';
import { countAttempts } from '../testing/counts.ts';
import { usageEvent, usageEvents } from '../testing/usage-event.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

let close: () => Promise<void>;
let db: Database;

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
});

afterAll(() => close());

async function rowOf(event: UsageRecorded): Promise<object | undefined> {
  return db.selectFrom('attempts').selectAll().where('attempt_id', '=', event.attemptId).executeTakeFirst();
}

test('every field has its column', async () => {
  const event = usageEvent({
    source: 'ingress',
    attempt: 3,
    startedEpochMs: 1_790_000_000_123,
    team: 'blue',
    route: 'best',
    reason: 'fallback',
    variant: 'b',
    lane: 'batch',
    costNanoUsd: Number.MAX_SAFE_INTEGER,
    isEstimated: true,
    error: 'upstream_cut_off',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    ...{ organisation: 'acme', user: 'ada', feature: 'search', session: 's-1', tags: { 'a "b"': 'c,d' } },
    ...{ admittedEpochMs: 1_790_000_000_007, reservedNanoUsd: 9_000, leases: ['l-1', 'l,"2'], rates: [1, 2, 3, 1e13] },
    ...{ cacheHit: true, earlier: [{ deployment: 'a/x', code: 'upstream_failed' }], guardrails: { pii: 'redacted' } },
    model: 'naïve "模型" \\ {a,b} 🦥',
  });
  await recordEvents(db, [event]);
  expect(await rowOf(event)).toMatchObject({
    attempt_id: event.attemptId,
    request_id: event.requestId,
    attempt: 3,
    source: 'ingress',
    started_at: new Date(1_790_000_000_123),
    key_id: 'key_1',
    key_name: 'one',
    team: 'blue',
    model: event.model,
    route: 'best',
    reason: 'fallback',
    variant: 'b',
    lane: 'batch',
    deployment: 'openai/gpt-4o-mini',
    provider: 'openai',
    upstream_model: 'gpt-4o-mini',
    endpoint: 'chat',
    is_stream: true,
    input_tokens: 1_000,
    output_tokens: 200,
    cached_input_tokens: 100,
    reasoning_tokens: 50,
    is_estimated: true,
    cost_nano_usd: BigInt(Number.MAX_SAFE_INTEGER),
    queue_ms: 1,
    ttft_ms: 300,
    duration_ms: 2_000,
    upstream_status: 200,
    finish: 'stop',
    error: 'upstream_cut_off',
    worker: 'wrk-1',
    ingress: 'ing-1',
    traceparent: event.traceparent,
    ...{ organisation: 'acme', user_id: 'ada', feature: 'search', session: 's-1', tags: { 'a "b"': 'c,d' } },
    ...{ charged_at: new Date(1_790_000_000_007), reserved_nano_usd: 9_000n, leases: ['l-1', 'l,"2'] },
    ...{ rates: ['1', '2', '3', '10000000000000'], cache_hit: true, guardrails: { pii: 'redacted' } },
    earlier: [{ deployment: 'a/x', code: 'upstream_failed' }],
  });
});

test('a price that is not known is null, not zero', async () => {
  const [unknown, free] = [usageEvent({ costNanoUsd: null }), usageEvent({ costNanoUsd: 0 })];
  await recordEvents(db, [unknown, free]);
  expect(await rowOf(unknown)).toMatchObject({ cost_nano_usd: null });
  expect(await rowOf(free)).toMatchObject({ cost_nano_usd: 0n });
});

test('an attempt is recorded once, within a batch and across batches, and the first report stands', async () => {
  const event = usageEvent({ outputTokens: 7 });
  const other = usageEvent();
  expect(await recordEvents(db, [event, event, other])).toMatchObject({ recorded: 2, duplicate: 1 });
  const later = { ...event, source: 'ingress' as const, outputTokens: 9 };
  expect(await recordEvents(db, [later, other])).toMatchObject({ recorded: 0, duplicate: 2 });
  expect(await rowOf(event)).toMatchObject({ source: 'worker', output_tokens: 7 });
});

test('the same events in opposite orders at once do not deadlock', async () => {
  const events = usageEvents(500);
  const results = await Promise.all(
    Array.from({ length: 6 }, (_, i) => recordEvents(db, i % 2 === 0 ? events : events.toReversed())),
  );
  expect(results.reduce((sum, { recorded }) => sum + recorded, 0)).toBe(500);
});

test('an attempt without a reservation is charged when it began, and what is not told is null', async () => {
  const event = usageEvent({ startedEpochMs: 1_790_000_000_123 });
  await recordEvents(db, [event]);
  expect(await rowOf(event)).toMatchObject({
    ...{ charged_at: new Date(1_790_000_000_123), organisation: null, user_id: null, tags: null, leases: null },
    ...{ rates: null, reserved_nano_usd: null, cache_hit: null, earlier: null, guardrails: null },
  });
});

test('balances are moved by the events that are new, and by the first report of each', async () => {
  const [known, first, other] = [usageEvent(), usageEvent({ costNanoUsd: 1 }), usageEvent()];
  await recordEvents(db, [known]);
  const moved: UsageRecorded[] = [];
  await recordEvents(db, [known, first, { ...first, costNanoUsd: 2 }, other], (_, fresh) => {
    moved.push(...fresh);
    return Promise.resolve();
  });
  expect(moved).toHaveLength(2);
  expect(moved).toEqual(expect.arrayContaining([first, other]));
  expect(await rowOf(first)).toMatchObject({ cost_nano_usd: 1n });
});

test('where balances cannot be moved nothing is recorded, nor counted', async () => {
  const event = usageEvent({ model: 'unmoved' });
  const failing = recordEvents(db, [event], () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(await rowOf(event)).toBeUndefined();
  const groups = await db.selectFrom('usage_groups').select('id').where('model', '=', 'unmoved').execute();
  expect(groups).toEqual([]);
});

test('ledgers that count in the same groups at once do not deadlock, and every count is there', async () => {
  const batch = (): UsageRecorded[] =>
    Array.from({ length: 200 }, (_, i) => usageEvent({ team: `deadlock-${i % 40}`, user: `u-${(i * 7) % 50}` }));
  const batches = Array.from({ length: 24 }, batch);
  await Promise.all(batches.map((events, i) => recordEvents(db, i % 2 === 0 ? events : events.toReversed())));
  for (const table of ['usage_hourly', 'usage_daily', 'usage_four_days'] as const) {
    const { sum } = await db
      .selectFrom(table)
      .innerJoin('usage_groups', 'usage_groups.id', `${table}.group_id`)
      .where(`${table}.cube`, '=', 1)
      .where('team', 'like', 'deadlock-%')
      .select(({ fn }) => fn.sum<bigint>('attempts').as('sum'))
      .executeTakeFirstOrThrow();
    expect(Number(sum)).toBe(24 * 200);
  }
  const { sum } = await db
    .selectFrom('usage_user_costs')
    .innerJoin('usage_groups', 'id', 'group_id')
    .where('team', 'like', 'deadlock-%')
    .select(({ fn }) => fn.sum<bigint>('attempts').as('sum'))
    .executeTakeFirstOrThrow();
  expect(Number(sum)).toBe(24 * 200);
});

test.each([
  { why: 'a NUL character', bad: { keyName: 'a\0b' }, reason: 'SQLSTATE 22P05' },
  { why: 'a NUL character in its id', bad: { attemptId: 'a\0b' }, reason: 'SQLSTATE 22P05' },
  { why: 'half a surrogate pair', bad: { model: 'a\ud800b' }, reason: 'SQLSTATE 22P02' },
  { why: 'a number beyond its column', bad: { inputTokens: 2 ** 40 }, reason: 'SQLSTATE 22003' },
  { why: 'a NUL character in a tag', bad: { tags: { a: 'b\0' } }, reason: 'SQLSTATE 22P05' },
  { why: 'a time beyond the calendar', bad: { startedEpochMs: Number.MAX_SAFE_INTEGER }, reason: 'SQLSTATE 23514' },
])('$why: the row is put aside, its neighbours are recorded', async ({ bad, reason }) => {
  const before = await countAttempts(db);
  const events = usageEvents(100);
  const poisoned = usageEvent(bad);
  const result = await recordEvents(db, [...events.slice(0, 37), poisoned, ...events.slice(37)]);
  expect(result).toEqual({ recorded: 100, duplicate: 0, poisoned: [{ event: JSON.stringify(poisoned), reason }] });
  expect(await countAttempts(db)).toBe(before + 100);
});

test('what is put aside twice is kept once, without what Postgres cannot hold', async () => {
  const poisoned = [{ event: '{"a":"\0\ud800"}', reason: 'not JSON' }];
  await putAside(db, poisoned);
  await putAside(db, poisoned);
  const kept = await db.selectFrom('poisoned_events').select(['event', 'reason']).execute();
  expect(kept).toEqual([{ event: '{"a":"\ufffd"}', reason: 'not JSON' }]);
});

test.each(["update attempts set cost_nano_usd = 0 where model = ''", 'delete from attempts', 'truncate attempts'])(
  'refused: %s',
  async (statement) => {
    await expect(sql.raw(statement).execute(db)).rejects.toThrow('attempts is append-only');
  },
);
