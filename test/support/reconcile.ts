import { rowsOfModel } from './deployment.ts';
import type { LedgerRow } from './gateway.ts';
import type { Outcome } from './load.ts';
import type { ScriptedProvider } from './provider.ts';
import { until } from './settled.ts';

/** What may be said of an attempt that its provider never saw: it was lost on the way there, or given up before. */
const NEVER_ARRIVED = new Set([
  'worker_lost',
  'upstream_unreachable',
  'upstream_failed',
  'broker_unavailable',
  'client_closed_request',
  'stream_gap',
]);

export interface Reconciled {
  readonly rows: number;
  readonly providerRequests: number;
  /** Every way in which ledger, provider and client disagree; empty when the account is right. */
  readonly faults: readonly string[];
}

export interface Account {
  /** As the providers call it: no other requests may have it. */
  readonly upstreamModel: string;
  readonly outcomes: readonly Outcome[];
}

/**
 * Compares, request by request (all three sides know its trace id), what the provider received, what the ledger holds
 * and what the client got: for each time that the provider was called one row, no more but for attempts that never
 * arrived there; for each answer that the client has one row without an error, with the same tokens.
 */
export async function reconcile(
  { upstreamModel, outcomes }: Account,
  {
    databaseUrl,
    provider,
    timeoutMs = 45_000,
  }: { databaseUrl: string; provider: ScriptedProvider; timeoutMs?: number },
): Promise<Reconciled> {
  const received = receivedByTrace(provider, upstreamModel);
  const providerRequests = [...received.values()].reduce((sum, count) => sum + count, 0);
  let rows: LedgerRow[] = [];
  let faults: string[] = [];
  const isRight = async (): Promise<boolean> => {
    rows = await rowsOfModel(databaseUrl, upstreamModel);
    faults = findFaults(rows, received, outcomes);
    return faults.length === 0;
  };
  // A fault that stays is what the caller reports.
  await until(isRight, timeoutMs, () => '').catch(() => undefined);
  return { rows: rows.length, providerRequests, faults };
}

function findFaults(
  rows: readonly LedgerRow[],
  received: ReadonlyMap<string, number>,
  outcomes: readonly Outcome[],
): string[] {
  const faults: string[] = [];
  const byTrace = Map.groupBy(rows, ({ traceparent }) => traceOf(traceparent ?? ''));
  for (const trace of new Set([...byTrace.keys(), ...received.keys()])) {
    const mine = byTrace.get(trace) ?? [];
    const calls = received.get(trace) ?? 0;
    const mayBeMissing = mine.filter(({ error }) => error !== null && NEVER_ARRIVED.has(error)).length;
    if (mine.length < calls) faults.push(`${trace}: ${calls} calls, ${describe(mine)}`);
    if (mine.length - mayBeMissing > calls) faults.push(`${trace}: only ${calls} calls, ${describe(mine)}`);
  }
  for (const { trace, ending } of outcomes) {
    if (ending.kind !== 'served') continue;
    const done = (byTrace.get(trace) ?? []).filter(({ error }) => error === null);
    const isSame = done.some(
      ({ input_tokens, output_tokens }) =>
        Number(input_tokens) === ending.inputTokens && Number(output_tokens) === ending.outputTokens,
    );
    // Served, and then worker and ingress died before its end was handed over: it is in the account at its reservation.
    const isReaped = (byTrace.get(trace) ?? []).some(({ source }) => source === 'reaper');
    if (!isSame && !isReaped)
      faults.push(`${trace}: served ${JSON.stringify(ending)}, ${describe(byTrace.get(trace) ?? [])}`);
  }
  return faults;
}

function receivedByTrace(provider: ScriptedProvider, upstreamModel: string): Map<string, number> {
  const counts = new Map<string, number>();
  const named = Buffer.from(`"${upstreamModel}"`);
  for (const { headers, body } of provider.requests()) {
    if (!body.includes(named)) continue;
    const trace = traceOf(headers['traceparent'] ?? '');
    counts.set(trace, (counts.get(trace) ?? 0) + 1);
  }
  return counts;
}

function traceOf(traceparent: string): string {
  return traceparent.split('-')[1] ?? '';
}

function describe(rows: readonly LedgerRow[]): string {
  const all = rows.map(
    ({ attempt, error, source, worker, input_tokens, output_tokens }) =>
      `#${attempt} ${error ?? 'ok'} by ${source} of ${worker} ${input_tokens}+${output_tokens}`,
  );
  return `rows: ${all.join('; ') || 'none'}`;
}
