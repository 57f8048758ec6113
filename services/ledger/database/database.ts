import { Socket } from 'node:net';
import { Kysely, PostgresDialect } from 'kysely';
import { DatabaseError, Pool, types } from 'pg';
import type { Log } from '../../../shared/log.ts';
import { PreparingClient } from './prepared.ts';
import type { Database, Tables } from './schema.ts';

/** One writes, one probes, the rest look up keys and report. Ten ledgers stay well below Postgres' default of 100. */
const POOL_SIZE = 6;
/** Fails whoever waits for a connection for longer: a queue that grew without bound would answer nobody in time. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Sooner than silence is taken for a dead link: an idle connection is silent too. */
const IDLE_CLOSE_MS = 5_000;
/** A batch takes tens of milliseconds. Far below the stream's `ack_wait`, so that a stuck statement is over before. */
const STATEMENT_TIMEOUT_MS = 5_000;
/** More silence than any statement may make: the server hangs or the link is dead, which TCP notices after 15 minutes. */
const SILENCE_AFTER_STATEMENT_MS = 5_000;

const INT8 = 20;
const NUMERIC = 1700;

export interface OpenDatabaseOptions {
  readonly url: string;
  readonly log: Pick<Log, 'warn'>;
  /** How long one statement may run; 0: as long as it takes. Reports over a long time want more than the default 15 s. */
  readonly statementTimeoutMs?: number;
}

/**
 * A pool of connections; they are made when needed, so this never fails. Close it with `destroy()`.
 * `int8` and `numeric` come as bigint (there is no fractional numeric in our schema: reading one throws).
 */
export function openDatabase({ url, log, statementTimeoutMs = STATEMENT_TIMEOUT_MS }: OpenDatabaseOptions): Database {
  const pool = new Pool({
    connectionString: url,
    Client: PreparingClient,
    application_name: 'sluice-ledger',
    max: POOL_SIZE,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_CLOSE_MS,
    types: { getTypeParser },
    ...(statementTimeoutMs > 0 && {
      statement_timeout: statementTimeoutMs,
      stream: () => givingUpAfter(statementTimeoutMs + SILENCE_AFTER_STATEMENT_MS),
    }),
  });
  // A connection lost while nobody queries: idle, or taken a moment ago. Without both listeners it would end the process;
  // the pool makes another one.
  const onLost = (failure: Error): void => log.warn({ reason: reasonOf(failure) }, 'postgres connection lost');
  pool.on('error', onLost);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
}

/** Why Postgres or NATS did not do it, in a few words without values: for logs, beats and `poisoned_events`. */
export function reasonOf(failure: unknown): string {
  if (failure instanceof DatabaseError) return `SQLSTATE ${failure.code ?? 'unknown'}`;
  if (!(failure instanceof Error)) return 'unknown';
  const code = 'code' in failure && typeof failure.code === 'string' ? failure.code : '';
  // The failure of several addresses at once (AggregateError) has a code and no message; NATS' message may be a code.
  if (/^E[A-Z_]+$/.test(code) || failure.message === '') return code;
  return failure.message === code ? `NATS ${code}` : failure.message;
}

/**
 * Whether this data can never be stored, however often it is tried: a value that does not fit (class 22), a broken
 * constraint (23), a row beyond a limit of Postgres (54).
 */
export function isFaultOfData(failure: unknown): boolean {
  return failure instanceof DatabaseError && ['22', '23', '54'].includes((failure.code ?? '').slice(0, 2));
}

/** Whether Postgres is away or not ready: no connection, or one of class 08, 53 (no resources), 57P (shutting down, starting up). */
export function isAway(failure: unknown): boolean {
  if (!(failure instanceof Error)) return false;
  if (failure instanceof DatabaseError) return /^(08|53|57P)/.test(failure.code ?? '');
  const isOfSystem = 'code' in failure && typeof failure.code === 'string' && /^E[A-Z_]+$/.test(failure.code);
  return isOfSystem || /connect|silent/i.test(failure.message);
}

/** Whether a statement took too long, or waited too long for another's lock. */
export function isOutOfTime(failure: unknown): boolean {
  return failure instanceof DatabaseError && ['57014', '55P03'].includes(failure.code ?? '');
}

/** A silent socket is destroyed: who waits for it fails, and the pool drops it. */
function givingUpAfter(silenceMs: number): Socket {
  const socket = new Socket();
  socket.setTimeout(silenceMs, () => socket.destroy(new Error('Postgres is silent')));
  return socket;
}

function getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  if ((oid === INT8 || oid === NUMERIC) && format !== 'binary') return BigInt;
  return types.getTypeParser(oid, format) as (value: string) => unknown;
}
