import type { Change } from '../../services/ledger/rules/revision.ts';
import { createLog } from '../../shared/log.ts';
import { reasonOf } from '../unreachable.ts';

/** A broker in reach answers in milliseconds; nobody wants to wait longer for a courtesy. */
const CONNECT_WAIT_MS = 2_000;

export interface Announcement {
  readonly isSent: boolean;
  readonly text: string;
}

/**
 * Tells every ingress what to forget, where a broker is known and answers; never throws: the change is made anyway, and
 * ingresses see by their ledger's heartbeat that there was one.
 */
export async function announceChange(
  natsUrl: string | undefined,
  change: Change & { readonly revision: bigint },
): Promise<Announcement> {
  if (natsUrl === undefined) {
    return {
      isSent: false,
      text: 'No gateway runs on this data folder, so there was nobody to tell (for others: NATS_URL).',
    };
  }
  const { announceRules } = await import('../../services/ledger/rules/revision.ts');
  const { Bus } = await import('../../shared/bus.ts');
  try {
    const log = createLog('silent', 'cli');
    const bus = await Bus.connect({ url: natsUrl, name: 'sluice-cli', log, waitMs: CONNECT_WAIT_MS });
    try {
      announceRules(bus, change);
      await bus.flush();
    } finally {
      await bus.close();
    }
    return { isSent: true, text: 'Every ingress was told: it counts from now on.' };
  } catch (failure) {
    return {
      isSent: false,
      text: `The ingresses could not be told (NATS: ${reasonOf(failure)}). Those that hear a ledger see it within a second.`,
    };
  }
}
