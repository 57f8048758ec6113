import { Bus } from '../../../shared/bus.ts';
import { systemClock } from '../../../shared/clock.ts';
import { createLog } from '../../../shared/log.ts';
import { startLedger } from '../main.ts';
import { TEST_SECRET } from './secret.ts';

/** A ledger in a process of its own, to be killed. Arguments: NATS URL, database URL, milliseconds until redelivery. */
const [natsUrl = '', databaseUrl = '', ackWaitMs = ''] = process.argv.slice(2);
const log = createLog('silent', 'ledger');
const bus = await Bus.connect({ url: natsUrl, name: 'ledger', log });
await startLedger({
  databaseUrl,
  secret: TEST_SECRET,
  bus,
  clock: systemClock,
  log,
  stream: { ackWaitMs: Number(ackWaitMs) },
});
