import { sql } from 'kysely';
import type { Database } from '../database/schema.ts';
import { COMPANY } from './company.ts';

/** Rows of one statement. */
const CHUNK = 100_000;

/**
 * Inserts attempts of a company by SQL, evenly over the time: as many as nobody would send through a writer. Only the
 * account has them then, not the rollups (`countAttempts`). The same attempts for the same arguments.
 * @param connections how many at once
 */
export async function generateAttempts(
  db: Database,
  count: number,
  { fromMs, toMs, connections }: { fromMs: number; toMs: number; connections: number },
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      const first = next;
      next = Math.min(count, first + CHUNK);
      await sql.raw(chunkOf({ first, end: next, count, fromMs, toMs })).execute(db);
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
}

/** Every number is drawn from a hash of the attempt's index, so that nothing depends on who inserts it. */
function chunkOf(of: { first: number; end: number; count: number; fromMs: number; toMs: number }): string {
  let draws = 0;
  const draw = (): string => `((hashint8extended(i, ${++draws}) & 4294967295) / 4294967296.0::float8)`;
  const below = (most: number): string => `floor(${draw()} * ${most})::int`;
  // Few make most of it: half of all is done by the first sixteenth.
  const mostly = (most: number): string => `floor(power(${draw()}, 4) * ${most})::int`;
  const { teams, keys, users, models, modelsOfKey, projects } = COMPANY;
  return `
    insert into attempts (attempt_id, request_id, attempt, source, started_at, charged_at, key_id, key_name, organisation,
      team, user_id, feature, tags, model, route, reason, deployment, provider, upstream_model, endpoint, is_stream,
      input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, is_estimated, cost_nano_usd, rates,
      reserved_nano_usd, leases, queue_ms, ttft_ms, duration_ms, upstream_status, finish, error, worker, ingress, traceparent)
    select request_id || '.1', request_id, 1, 'worker', started_at, started_at, 'key_' || key, 'key ' || key, 'acme',
      'team-' || team, 'user-' || key || '-' || usr, 'feature-' || key % 7,
      jsonb_build_object('project', 'project-' || team || '-' || project), 'model-' || model,
      case when model < 3 then 'route-' || model end, 'peak_ewma', 'provider-' || model % 4 || '/model-' || model,
      'provider-' || model % 4, 'model-' || model, 'chat', true, input, output, 0, 0, false, input * 150 + output * 600,
      array[150000000, 150000000, 600000000, 600000000], 1000000, array['lease-' || lease], queue, ttft, duration, 200,
      'stop', case when failed < 0.02 then 'upstream_failed' end, 'wrk-1', 'ing-1',
      '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    from (
      select *, key % ${teams} as team, (key * 7 + own_model) % ${models} as model,
        'req_' || lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(i), 19, '0') as request_id,
        to_timestamp(ms / 1000.0) as started_at
      from (
        select i, ${of.fromMs} + i * ${of.toMs - of.fromMs} / ${of.count} as ms, ${mostly(keys)} as key,
          ${mostly(users)} as usr, ${mostly(modelsOfKey)} as own_model, ${below(projects)} as project,
          100 + ${below(4_000)} as input, 20 + ${below(800)} as output, ${below(100)} as lease, ${below(3)} as queue,
          100 + ${below(900)} as ttft, 500 + ${below(20_000)} as duration, ${draw()} as failed
        from generate_series(${of.first}::bigint, ${of.end - 1}) as i
        offset 0
      ) as drawn
    ) as made`;
}
