import type { RevokedKey } from '../../services/ledger/keys.ts';
import { createLog } from '../../shared/log.ts';
import { reasonOf } from '../unreachable.ts';

/** A broker in reach answers in milliseconds; nobody wants to wait longer for a courtesy. */
const CONNECT_WAIT_MS = 2_000;
/** An ingress asks anew after this long (services/ingress/authenticate.ts), told or not. */
const CACHE_LIFETIME = 'a minute';

export interface Announcement {
  readonly isSent: boolean;
  readonly text: string;
}

/** Tells every ingress to forget the key, where a broker is known and answers; never throws: the key is revoked anyway. */
export async function announceRevocation(
  natsUrl: string | undefined,
  key: Pick<RevokedKey, 'hash'>,
): Promise<Announcement> {
  if (natsUrl === undefined) {
    return {
      isSent: false,
      text: 'No gateway runs on this data folder, so there was nobody to tell (for others: NATS_URL).',
    };
  }
  const { announceKeyChange } = await import('../../services/ledger/keys.ts');
  const { Bus } = await import('../../shared/bus.ts');
  try {
    const log = createLog('silent', 'cli');
    const bus = await Bus.connect({ url: natsUrl, name: 'sluice-cli', log, waitMs: CONNECT_WAIT_MS });
    try {
      announceKeyChange(bus, key);
      await bus.flush();
    } finally {
      await bus.close();
    }
    return { isSent: true, text: 'Every ingress was told: the key is refused from now on.' };
  } catch (failure) {
    return {
      isSent: false,
      text: `The ingresses could not be told (NATS: ${reasonOf(failure)}). They go on accepting the key for up to ${CACHE_LIFETIME}.`,
    };
  }
}
