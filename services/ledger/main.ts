import type { Registry } from 'prom-client';
import type { Bus } from '../../shared/bus.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Log } from '../../shared/log.ts';
import type { Database } from './schema.ts';

export interface LedgerDeps {
  readonly databaseUrl: string;
  /** Connected by the caller, who closes it after `stop()`. Not the one that carries tokens. */
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry?: Registry | undefined;
  readonly random?: () => number;
}

export interface Ledger {
  readonly id: string;
  /** For keys and reports in the same process. */
  readonly db: Database;
  stop(): Promise<void>;
}

export function startLedger(_deps: LedgerDeps): Promise<Ledger> {
  return Promise.reject(new Error('not built yet'));
}
