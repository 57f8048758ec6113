import { setTimeout as sleep } from 'node:timers/promises';
import { rowsOfModel } from '../support/deployment.ts';
import { Load, summary } from '../support/load.ts';
import { reconcile } from '../support/reconcile.ts';
import type { Fault } from './faults.ts';
import { watchReadiness } from './readiness.ts';
import { judge } from './judge.ts';
import type { Figures } from './judge.ts';
import { TOKENS } from './system.ts';
import type { System } from './system.ts';

/** Served before the blow, and in a row after it: each lane several times over. */
const SERVED = 48;
const BACK_WITHIN_MS = 30_000;
const REPORT_EVERY_MS = 500;
/** Requests at once. */
export const LANES = 24;

export interface Result extends Omit<Figures, 'problems'> {
  readonly name: string;
  readonly what: string;
  /** Connections that nobody accepted; the client went on to the other ingress. */
  readonly moved: number;
  /** Requests that took more than one attempt. */
  readonly triedAgain: number;
  readonly providerRequests: number;
  readonly rows: number;
  /** Of the answers that the ingresses that were not struck gave to `/health/ready` while it lasted: 0..1. */
  readonly readyRatio: number;
  /** From the end of the last request until the ledger's rows were whole. */
  readonly accountAfterMs: number;
  /** Every way in which provider, ledger and clients disagree (support/reconcile.ts). */
  readonly unaccounted: readonly string[];
  /** What this fault does not excuse, unaccounted requests too; empty: it went as it should. */
  readonly problems: readonly string[];
}

export interface RunFaultOptions {
  /** How long it lasts. */
  readonly seconds: number;
  readonly onProgress?: (text: string) => void;
}

/** Load before, during and after the fault, until everything is served again; then the account. */
export async function runFault(
  fault: Fault,
  system: System,
  { seconds, onProgress = () => undefined }: RunFaultOptions,
): Promise<Result> {
  const { gateway } = system;
  await gateway.untilWhole();
  const load = startLoad(fault, system);
  let doing = 'before';
  const reporter = setInterval(() => onProgress(`${doing}: ${summary(load.outcomes)}`), REPORT_EVERY_MS);
  const mishaps: string[] = [];
  try {
    await load.served(SERVED);
    const atMs = performance.now();
    const blow = await fault.strike(system);
    let overMs = performance.now();
    doing = 'during';
    const readiness = watchReadiness(() => gateway.urls().filter((url) => url !== blow.url));
    await sleep(seconds * 1_000);
    const readyRatio = await readiness.stop();
    await blow.mend();
    if (!fault.isInstant) overMs = performance.now();
    doing = 'after';
    await load.steady(SERVED, BACK_WITHIN_MS).catch((cause: unknown) => mishaps.push(`not back: ${String(cause)}`));
    const outcomes = await load.stop();
    doing = 'account';
    const figures = judge(outcomes, { worst: fault.worst, url: blow.url, atMs, overMs });
    const account = { upstreamModel: fault.name, outcomes };
    const where = { databaseUrl: system.postgres.url, provider: system.provider };
    const endedAtMs = performance.now();
    const { rows, providerRequests, faults } = await reconcile(account, where);
    return {
      ...figures,
      name: fault.name,
      what: fault.what,
      moved: load.moved,
      triedAgain: await countTriedAgain(system, fault),
      readyRatio,
      providerRequests,
      rows,
      accountAfterMs: Math.round(performance.now() - endedAtMs),
      unaccounted: faults,
      problems: [...mishaps, ...figures.problems, ...faults.map((text) => `unaccounted: ${text}`)],
    };
  } finally {
    clearInterval(reporter);
    await load.stop();
  }
}

/** Half of the lanes at either ingress, as behind a load balancer; only when theirs is gone they go to another. */
function startLoad({ name }: Fault, { gateway }: System): Load {
  const homes = gateway.urls();
  const urls = (lane: number): readonly string[] => {
    const there = gateway.urls();
    // Of each two neighbours one streams.
    const home = homes[(lane >> 1) % homes.length] ?? '';
    return there.includes(home) ? [home] : there;
  };
  return Load.start({ urls, model: name, tokens: TOKENS, lanes: LANES, countsResets: true });
}

async function countTriedAgain({ postgres }: System, { name }: Fault): Promise<number> {
  const attempts = Map.groupBy(await rowsOfModel(postgres.url, name), ({ request_id }) => request_id);
  return [...attempts.values()].filter(({ length }) => length > 1).length;
}
