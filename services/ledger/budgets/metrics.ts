import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';

export interface BudgetMetrics {
  readonly granted: Counter.Internal;
  readonly refused: Counter.Internal;
  readonly expired: Counter.Internal;
  readonly excessNanoUsd: Counter.Internal;
  readonly alerts: Counter.Internal;
  readonly delivered: Counter.Internal;
  readonly undelivered: Counter.Internal;
}

export function createBudgetMetrics(registry: Registry): BudgetMetrics {
  const counter = (name: string, help: string): Counter.Internal =>
    new Counter({ name, help, registers: [registry] }).labels();
  const deliveries = new Counter({
    name: 'sluice_ledger_budget_alert_deliveries_total',
    help: 'Calls of webhooks for alerts of budgets.',
    labelNames: ['outcome'],
    registers: [registry],
  });
  return {
    granted: counter('sluice_ledger_leases_granted_total', 'Leases of budgets granted to ingresses.'),
    refused: counter('sluice_ledger_leases_refused_total', 'Asks for leases that a budget had too little left for.'),
    expired: counter('sluice_ledger_leases_expired_total', 'Leases of ingresses that reported them no more, returned.'),
    excessNanoUsd: counter(
      'sluice_ledger_budget_excess_nano_usd_total',
      'Spent beyond the limits of budgets: of soft ones, or beyond what was reserved.',
    ),
    alerts: counter('sluice_ledger_budget_alerts_total', 'Thresholds of budgets that were reached.'),
    delivered: deliveries.labels('delivered'),
    undelivered: deliveries.labels('failed'),
  };
}
