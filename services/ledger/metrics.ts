import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

export interface LedgerMetrics {
  readonly recorded: Counter.Internal;
  readonly duplicate: Counter.Internal;
  readonly poisoned: Counter.Internal;
  readonly reaped: Counter.Internal;
  readonly batchSeconds: Histogram.Internal<string>;
}

/** @param backlog reads the number of messages that wait in the stream */
export function createLedgerMetrics(registry: Registry, backlog: () => number): LedgerMetrics {
  const counter = (name: string, help: string): Counter.Internal =>
    new Counter({ name, help, registers: [registry] }).labels();
  new Gauge({
    name: 'sluice_ledger_backlog',
    help: 'Messages of usage events that no ledger has recorded yet.',
    registers: [registry],
    collect() {
      this.set(backlog());
    },
  });
  const batchSeconds = new Histogram({
    name: 'sluice_ledger_batch_seconds',
    help: 'From taking a batch of usage events to its acknowledgement.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
    registers: [registry],
  });
  return {
    recorded: counter('sluice_ledger_events_recorded_total', 'Usage events written.'),
    duplicate: counter('sluice_ledger_events_duplicate_total', 'Usage events that came again and changed nothing.'),
    poisoned: counter('sluice_ledger_events_poisoned_total', 'Usage events that can never be recorded, put aside.'),
    reaped: counter('sluice_ledger_attempts_reaped_total', 'Attempts of dead workers, closed at their reservation.'),
    batchSeconds: batchSeconds.labels(),
  };
}
