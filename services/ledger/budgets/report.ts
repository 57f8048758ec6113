import type { LeaseReport } from '../../../shared/messages/lease.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import type { WindowKey } from '../core/windows.ts';
import { nameOfWindow } from '../core/windows.ts';
import type { Database } from '../database/schema.ts';
import { LEASE_TTL_MS } from './grant.ts';
import type { LeaseChange, LeaseRow } from './lease-rows.ts';
import { changeLeases, readLeases } from './lease-rows.ts';
import { changeWindows, lockWindows } from './window-rows.ts';

/**
 * Renews, shrinks and closes leases as their ingresses report them, in one transaction for all of the reports. What an
 * ingress has no use for returns to the budget at once; never what events have settled already. One that is given back
 * before all of its events came waits for them until it expires.
 * @returns for each report, in their order, which of its leases are no longer there, or are not its
 * @throws what Postgres said; nothing is changed then
 */
export async function applyReports(db: Database, reports: readonly LeaseReport[]): Promise<string[][]> {
  const ids = [...new Set(reports.flatMap(({ leases }) => leases.map(({ lease }) => lease)))];
  return db.transaction().execute(async (tx) => {
    const named = await readLeases(tx, ids);
    await lockWindows(tx, distinctWindows(named));
    const leases = new Map((await readLeases(tx, ids)).map((lease) => [lease.id, lease]));
    const changes = new Map<string, LeaseChange>();
    const freed = new Map<string, { key: WindowKey; spent: NanoUsd; leased: NanoUsd }>();
    const lost = reports.map((report) =>
      report.leases.flatMap((reported) => {
        const lease = leases.get(reported.lease);
        if (lease === undefined || lease.isClosed || lease.ingress !== report.ingress) return [reported.lease];
        const change = changeOf(lease, reported);
        const name = nameOfWindow(lease.window);
        const leased = (freed.get(name)?.leased ?? 0n) + change.amount - lease.amount;
        freed.set(name, { key: lease.window, spent: 0n, leased });
        changes.set(lease.id, change);
        leases.set(lease.id, { ...lease, ...change });
        return [];
      }),
    );
    await changeLeases(tx, [...changes.values()]);
    const changed = [...freed.values()].filter(({ leased }) => leased !== 0n);
    await changeWindows(tx, changed, { mayExceed: true });
    return lost;
  });
}

function distinctWindows(leases: readonly LeaseRow[]): WindowKey[] {
  return [...new Map(leases.map(({ window }) => [nameOfWindow(window), window])).values()];
}

function changeOf(
  { id, amount, settled }: LeaseRow,
  { keep, isClosed: isGivenBack }: LeaseReport['leases'][number],
): LeaseChange {
  const kept = BigInt(Math.max(0, Math.ceil(keep)));
  const less = kept < amount ? kept : amount;
  const left = less > settled ? less : settled;
  return { id, amount: left, settled, isClosed: isGivenBack && left === settled, expiresInMs: LEASE_TTL_MS };
}
